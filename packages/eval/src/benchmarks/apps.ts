import type { Benchmark, Tests, Transcripts } from '../benchmark.ts';
import { DataError } from '../errors.ts';
import { callPrelude, callTarget, callTests, withPrelude } from './apps-calls.ts';
import { id, object, optionalText, type RawRow, show, text } from './fields.ts';
import { fromRows } from './from-rows.ts';
import { parseJson } from './json-rows.ts';
import { memberText } from './split-json.ts';

/** A row of APPS. */
export interface AppsRow {
  readonly id: string;
  readonly question: string;
  readonly starterCode: string;
  /** JSON text of `{inputs, outputs, fn_name?}`, as published. */
  readonly inputOutput: string;
  readonly solutions: readonly string[];
}

interface InputOutput {
  readonly inputs: readonly unknown[];
  readonly outputs: readonly unknown[];
  /** The function that call-based problems call; null for programs that read standard input. */
  readonly name: string | null;
}

/** What ends a completion: the list of bigcode-evaluation-harness. */
const stop = ['\nQUESTION', '\n---', '\nANSWER'];

/**
 * A row of `{task_id or problem_id, question, input_output, starter_code?, solutions?}`, where `input_output`
 * is an object or JSON text, and `solutions` a list or JSON text. Null for a row without a single case, of
 * which APPS has some: it cannot be judged. Throws DataError.
 *
 * @param json the row's own JSON text.
 */
export function readAppsRow(row: RawRow, where: string, json: string): AppsRow | null {
  const given = row.input_output;
  if (given === undefined || given === null || given === '') return null;
  const inputOutput = typeof given === 'string' ? given : (memberText(json, 'input_output') ?? '');
  if (parseInputOutput(inputOutput, where).inputs.length === 0) return null;
  return {
    id: id(
      row,
      Object.hasOwn(row, 'problem_id') && !Object.hasOwn(row, 'task_id') ? 'problem_id' : 'task_id',
      where,
    ),
    question: text(row, 'question', where),
    starterCode: optionalText(row, 'starter_code', where) ?? '',
    inputOutput,
    solutions: readSolutions(row.solutions ?? [], where),
  };
}

/**
 * APPS (Hendrycks et al. 2021). The prompt is the publisher's: the question, the starter code, the way of
 * input. A completion is the whole program. Problems with a `fn_name` are judged by calling it, with
 * callPrelude before the program; the others by what they print, see sameOutput.
 */
export function apps(rows: readonly AppsRow[]): Benchmark {
  // Cases may be megabytes: they are parsed once, and all answers to a problem share one set of tests.
  const parsed = new Map<string, ReturnType<typeof parseInputOutput>>();
  const known = new Map<string, Tests>();
  const testsOf = ({ id: task, inputOutput }: AppsRow, source: string): Tests => {
    const data = parsed.get(task) ?? parseInputOutput(inputOutput, task);
    parsed.set(task, data);
    const target = data.name === null ? null : callTarget(source, data.name);
    const key = JSON.stringify([task, target]);
    const tests =
      known.get(key) ?? (target === null ? transcripts(data, task) : callTests(inputOutput, target));
    known.set(key, tests);
    return tests;
  };
  return fromRows({
    name: 'apps',
    options: { stop, prelude: callPrelude },
    rows,
    problem: (row) => ({
      id: row.id,
      language: 'py',
      prompt: promptOf(row),
      stop,
      canonical: row.solutions[0] ?? null,
      empty: 'pass\n',
    }),
    program: (row, _, { text }) => {
      const source = text.replace(/^\ufeff/, '');
      const tests = testsOf(row, source);
      return { language: 'py', source: tests.kind === 'transcripts' ? source : withPrelude(source), tests };
    },
  });
}

function promptOf({ id: task, question, starterCode, inputOutput }: AppsRow): string {
  const isCall = parseInputOutput(inputOutput, task).name !== null;
  const starter = starterCode === '' ? '' : `\n${starterCode}`;
  const way = isCall ? 'Call-Based' : 'Standard Input';
  return `\nQUESTION:\n${question}${starter}\nUse ${way} format\nANSWER:\n`;
}

function transcripts({ inputs, outputs }: InputOutput, where: string): Transcripts {
  const cases = inputs.map((input, i) => ({
    input: lines(input, `${where}: inputs[${i}]`),
    output: lines(outputs[i], `${where}: outputs[${i}]`),
  }));
  return { kind: 'transcripts', cases };
}

function lines(value: unknown, where: string): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((line) => typeof line === 'string')) return value.join('\n');
  throw new DataError(`${where} must be a text or a list of lines, got ${show(value)}`);
}

function parseInputOutput(json: string, where: string): InputOutput {
  const place = `${where}: input_output`;
  const { inputs, outputs, fn_name: name = null } = object(parseJson(json, place), where, 'input_output');
  if (!Array.isArray(inputs) || !Array.isArray(outputs) || inputs.length !== outputs.length) {
    throw new DataError(`${place} must have lists inputs and outputs of one length, got ${show(json)}`);
  }
  if (name !== null && (typeof name !== 'string' || !/^(?:[A-Za-z_]\w*)?$/.test(name))) {
    throw new DataError(`${place}: fn_name must be the name of a function, got ${show(name)}`);
  }
  const data = { inputs, outputs, name: name || null };
  if (data.name === null) transcripts(data, place);
  return data;
}

function readSolutions(given: unknown, where: string): readonly string[] {
  const value =
    typeof given === 'string' && given !== '' ? parseJson(given, `${where}: solutions`) : given || [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new DataError(`${where}: solutions must be a list of texts, or JSON text of one, got ${show(given)}`);
}
