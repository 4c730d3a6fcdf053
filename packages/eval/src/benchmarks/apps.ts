import { DataError, parseJson, show } from '@flex/base';
import { type AppsRow, members } from '@flex/datasets';
import type { Tests, Transcripts } from '@flex/judge';
import type { Benchmark } from '../benchmark.ts';
import { callPrelude, callTarget, callTests, withPrelude } from './apps-calls.ts';
import { fromRows, type Identified } from './from-rows.ts';

interface InputOutput {
  readonly inputs: readonly unknown[];
  readonly outputs: readonly unknown[];
  /** The function that call-based problems call; null for programs that read standard input. */
  readonly name: string | null;
}

/** What ends a completion: the list of bigcode-evaluation-harness. */
const stop = ['\nQUESTION', '\n---', '\nANSWER'];

/** A row of APPS with cases. */
export interface JudgedAppsRow extends Identified<AppsRow> {
  readonly inputOutput: string;
}

/** The row; null if it has not a single case, as some of APPS: it cannot be judged. Throws DataError. */
export function judgedAppsRow(row: Identified<AppsRow>, where: string): JudgedAppsRow | null {
  const { inputOutput } = row;
  if (inputOutput === null || parseInputOutput(inputOutput, where).inputs.length === 0) return null;
  return { ...row, inputOutput };
}

/**
 * APPS (Hendrycks et al. 2021). The prompt is the publisher's: the question, the starter code, the way of
 * input. A completion is the whole program. Problems with a `fn_name` are judged by calling it, with
 * callPrelude before the program; the others by what they print, see sameOutput.
 */
export function apps(rows: readonly JudgedAppsRow[]): Benchmark {
  // Cases may be megabytes: they are parsed once, and all completions of a problem share one set of tests.
  const parsed = new Map<string, ReturnType<typeof parseInputOutput>>();
  const known = new Map<string, Tests>();
  const testsOf = ({ id: task, inputOutput }: JudgedAppsRow, source: string): Tests => {
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

function promptOf({ id: task, question, starterCode, inputOutput }: JudgedAppsRow): string {
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
  const what = `${where}: input_output`;
  const { inputs, outputs, fn_name: name = null } = members(parseJson(json, what), where, 'input_output');
  if (!Array.isArray(inputs) || !Array.isArray(outputs) || inputs.length !== outputs.length) {
    throw new DataError(`${what} must have lists inputs and outputs of one length, got ${show(json)}`);
  }
  if (name !== null && (typeof name !== 'string' || !/^(?:[A-Za-z_]\w*)?$/.test(name))) {
    throw new DataError(`${what}: fn_name must be the name of a function, got ${show(name)}`);
  }
  const data = { inputs, outputs, name: name || null };
  if (data.name === null) transcripts(data, what);
  return data;
}
