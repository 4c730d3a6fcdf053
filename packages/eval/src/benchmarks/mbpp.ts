import { DataError } from '@flex/base';
import type { MbppRow } from '@flex/datasets';
import type { Benchmark } from '../benchmark.ts';
import { fromRows, type Identified, sourceOf } from './from-rows.ts';

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
export const docstringStop = ['\nclass', '\nassert', '\n"""', '\nprint', '\nif', '\n<|/', '\n```'];
const fewShotStop = ['[DONE]'];

export interface MbppOptions {
  readonly prompt?: MbppPrompt;
  /** Rows of the tasks `fewShotIds`, which `few-shot` shows. */
  readonly examples?: readonly Identified<MbppRow>[];
}

/**
 * MBPP (Austin et al. 2021). After a docstring a program is prompt + completion, as bigcode's is; after the
 * few-shot prompt, which is no Python, the completion alone. It is tested by the tests of `test_list`, one a
 * line, after the setup code. Throws DataError where `few-shot` lacks one of its examples, or shows one of
 * the rows.
 */
export function mbpp(
  rows: readonly Identified<MbppRow>[],
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
    program: (row, problem, completion) => {
      const code = `${row.tests.join('\n')}\n`;
      return {
        language: 'py',
        source: prompt === 'few-shot' ? completion.text : sourceOf(problem, completion),
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

function exampleOf(wanted: string, examples: readonly Identified<MbppRow>[]): Identified<MbppRow> {
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
 * as task 126's `sum`, is the candidate's. Without a solution it is the function that every test calls first,
 * unless they call one that is no builtin, which is the candidate's anyway.
 */
function entryPointsOf({ code, tests }: MbppRow): string[] {
  if (code === null) return testedBuiltin(tests);
  const defined = new Set(
    [...code.matchAll(/^(?:(?:async )?def (\w+)|(\w+) *=(?!=))/gm)].map(
      ([, ...names]) => names.find(Boolean)!,
    ),
  );
  return [...defined].filter((name) => tests.some((test) => new RegExp(`\\b${name}\\s*\\(`).test(test)));
}

/** Functions that tests call, or have around the tested one. */
const builtins = new Set(
  (
    'abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format ' +
    'frozenset getattr hasattr hash hex id int isinstance issubclass iter len list map max min next object oct ' +
    'ord pow print range repr reversed round set slice sorted str sum tuple type zip'
  ).split(' '),
);

function testedBuiltin(tests: readonly string[]): string[] {
  const calls = tests.map((test) => {
    const outsideTexts = test.replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");
    return [...outsideTexts.matchAll(/(?<![\w.])([A-Za-z_]\w*)\s*\(/g)]
      .map(([, name]) => name)
      .filter((name) => !keywords.has(name));
  });
  const [first] = calls[0];
  const isTested = first !== undefined && calls.every((names) => names[0] === first);
  return isTested && calls.flat().every((name) => builtins.has(name)) ? [first] : [];
}

const keywords = new Set(['assert', 'not', 'and', 'or', 'in', 'is', 'if', 'else', 'for', 'lambda']);
