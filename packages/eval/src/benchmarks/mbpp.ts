import type { Benchmark } from '../benchmark.ts';
import { DataError } from '../errors.ts';
import { id, optionalText, optionalTexts, type RawRow, text, texts } from './fields.ts';
import { fromRows, sourceOf } from './from-rows.ts';

/** A row of MBPP, with \n for line ends. */
export interface MbppRow {
  /** The task's number, without a prefix. */
  readonly id: string;
  readonly text: string;
  readonly code: string | null;
  readonly setup: string;
  readonly tests: readonly string[];
}

/**
 * `docstring`: the task and its first test as a docstring (bigcode's, after InCoder). `all-tests`: the same
 * with every test. `few-shot`: three solved tasks first, code between [BEGIN] and [DONE] (Austin et al.
 * 2021).
 */
export const mbppPrompts = ['docstring', 'all-tests', 'few-shot'] as const;
export type MbppPrompt = (typeof mbppPrompts)[number];

/** The solved tasks of the few-shot prompt, from the data's prompt split. */
export const fewShotIds = ['2', '3', '4'];

/** What ends a completion after a docstring: the list of bigcode-evaluation-harness. */
const docstringStop = ['\nclass', '\nassert', '\n"""', '\nprint', '\nif', '\n<|/', '\n```'];
const fewShotStop = ['[DONE]'];

export interface MbppOptions {
  readonly prompt?: MbppPrompt;
  /** Rows of the tasks `fewShotIds`, which `few-shot` shows. */
  readonly examples?: readonly MbppRow[];
}

/**
 * A row of `{task_id, text or prompt, code?, test_list, test_setup_code?}`, or with `test_imports` as the
 * sanitized rows have; `challenge_test_list` is not used. Task ids may be 11, "11", "Mbpp/11". Throws
 * DataError.
 */
export function readMbppRow(row: RawRow, where: string): MbppRow {
  const tests = texts(row, 'test_list', where).map(unix);
  if (tests.length === 0) throw new DataError(`${where}: test_list is empty; a task needs a test`);
  const imports = optionalTexts(row, 'test_imports', where);
  const code = optionalText(row, 'code', where);
  return {
    id: id(row, 'task_id', where).replace(/^mbpp\//i, ''),
    text: unix(
      text(row, !Object.hasOwn(row, 'text') && Object.hasOwn(row, 'prompt') ? 'prompt' : 'text', where),
    ),
    code: code === null ? null : unix(code),
    setup: unix([...imports, optionalText(row, 'test_setup_code', where) ?? ''].join('\n').trim()),
    tests,
  };
}

/**
 * MBPP (Austin et al. 2021). After a docstring a program is prompt + completion, as bigcode's is; after the
 * few-shot prompt, which is no Python, the completion alone. It is tested by the tests of `test_list`, one a
 * line, after the setup code. Throws DataError where `few-shot` lacks one of its examples, or shows one of
 * the rows.
 */
export function mbpp(
  rows: readonly MbppRow[],
  { prompt = 'docstring', examples = [] }: MbppOptions = {},
): Benchmark {
  const shown = prompt === 'few-shot' ? fewShotIds.map((wanted) => exampleOf(wanted, examples)) : [];
  const given = rows.find(({ id }) => shown.some((example) => example.id === id));
  if (given)
    throw new DataError(`mbpp: prompt few-shot shows task ${given.id} solved; take a split without it`);
  const stop = prompt === 'few-shot' ? fewShotStop : docstringStop;
  const preamble = shown.map((row) => `${taskText(row)}${row.code}\n[DONE]\n\n`).join('');
  return fromRows({
    name: 'mbpp',
    options: { prompt, stop },
    rows,
    examples: shown,
    problem: (row) => ({
      id: row.id,
      language: 'py',
      prompt: prompt === 'few-shot' ? preamble + taskText(row) : docstring(row, prompt === 'all-tests'),
      stop,
      canonical: row.code === null ? null : `${row.code}\n`,
      empty: 'pass\n',
    }),
    program: (row, problem, answer) => {
      const code = `${row.tests.join('\n')}\n`;
      return {
        language: 'py',
        source: prompt === 'few-shot' ? answer.text : sourceOf(problem, answer),
        tests: {
          kind: 'python-calls',
          setup: row.setup,
          code,
          entryPoints: entryPointsOf(row),
          inProcess: `\n${row.setup}\n${code}`,
        },
      };
    },
  });
}

function exampleOf(wanted: string, examples: readonly MbppRow[]): MbppRow {
  const row = examples.find((example) => example.id === wanted);
  if (row && row.code !== null) return row;
  const missing = row ? 'whose row has no code' : 'which the data lacks';
  throw new DataError(
    `mbpp: prompt few-shot shows the tasks ${fewShotIds.join(', ')} solved, and task ${wanted} is one, ` +
      `${missing}; use a file that holds them, or prompt docstring`,
  );
}

function docstring({ text, tests }: MbppRow, all: boolean): string {
  return `"""\n${text}\n${all ? tests.join('\n') : tests[0]}\n"""\n`;
}

/** One task of the few-shot prompt, up to where its code begins (Austin et al. 2021, section 3). */
function taskText({ text, tests }: MbppRow): string {
  const task = `You are an expert Python programmer, and here is your task: ${text}`;
  return `${task} Your code should pass these tests:\n\n${tests.join('\n')}\n[BEGIN]\n`;
}

/**
 * The functions of the published solution that the tests call. Named so that one called like a builtin, such
 * as task 126's `sum`, is the candidate's.
 */
function entryPointsOf({ code, tests }: MbppRow): string[] {
  const defined = new Set(
    [...(code ?? '').matchAll(/^(?:(?:async )?def (\w+)|(\w+) *=(?!=))/gm)].map(
      ([, ...names]) => names.find(Boolean)!,
    ),
  );
  return [...defined].filter((name) => tests.some((test) => new RegExp(`\\b${name}\\s*\\(`).test(test)));
}

function unix(value: string): string {
  return value.replaceAll('\r\n', '\n');
}
