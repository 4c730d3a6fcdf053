import { readFileSync } from 'node:fs';
import { DataError, digestJson, show } from '@flex/base';
import type { EvalPlusRow } from '@flex/datasets';
import type { PythonCalls } from '@flex/judge';
import type { Benchmark, Problem } from '../benchmark.ts';
import { fromRows, type Identified, sourceOf } from './from-rows.ts';
import { type HumanEvalPrompt, humanEvalProblem, humanEvalStop } from './human-eval.ts';
import { docstringStop } from './mbpp.ts';

/** EvalPlus' two sets by how their ids begin, and what ends a completion. */
const sets = {
  HumanEval: { name: 'humaneval+', stop: humanEvalStop, empty: null },
  Mbpp: { name: 'mbpp+', stop: docstringStop, empty: 'pass\n' },
} as const;

/** A row, and which of the sets it is of. */
export interface JudgedEvalPlusRow extends Identified<EvalPlusRow> {
  readonly set: keyof typeof sets;
}

/**
 * The row with its set. Throws DataError, which begins with `where`, for another id than HumanEval/n or
 * Mbpp/n.
 */
export function evalPlusRow(row: Identified<EvalPlusRow>, where: string): JudgedEvalPlusRow {
  const set = /^(HumanEval|Mbpp)\/\d+$/.exec(row.id)?.[1] as keyof typeof sets | undefined;
  if (set) return { ...row, set };
  throw new DataError(`${where}: task_id must be like HumanEval/0 or Mbpp/2, got ${show(row.id)}`);
}

/** Part of the protocol: the digest of the rows does not tell how values are compared. */
const tester = readFileSync(new URL('eval_plus.py', import.meta.url), 'utf8');

/**
 * EvalPlus (Liu et al. 2023): HumanEval or MBPP with many more inputs. A program is prompt + completion, and
 * on each input it must give what the canonical solution gives, which runs beside the tests: something equal,
 * or within the row's `atol` (1e-6 for floats where that is 0) and 1e-7 of it, decided for each input by
 * itself; a few tasks have rules of their own, as evalplus has them. The canonical solution runs while the
 * candidate waits, whose limit of time counts that too. Its base score is that of the inputs of HumanEval and
 * MBPP. Throws DataError for rows of both sets.
 */
export function evalPlus(
  rows: readonly JudgedEvalPlusRow[],
  { prompt = 'raw' }: { readonly prompt?: HumanEvalPrompt } = {},
): Benchmark {
  const found = [...new Set(rows.map(({ set }) => set))];
  if (found.length > 1)
    throw new DataError('evalplus: rows are of HumanEval and Mbpp; a file must be of one');
  const { name, stop, empty } = sets[found[0]];
  // Inputs are megabytes, which all completions of a problem share.
  const made = new Map<string, PythonCalls>();
  const program =
    (inputs: 'base_input' | 'plus_input') =>
    (row: JudgedEvalPlusRow, problem: Problem, completion: Parameters<typeof sourceOf>[1]) => {
      const key = `${inputs} ${row.id}`;
      const tests = made.get(key) ?? testsOf(row, inputs);
      made.set(key, tests);
      return { language: 'py', source: sourceOf(problem, completion), tests } as const;
    };
  return fromRows({
    name,
    options: { prompt, stop, tester: digestJson(tester) },
    rows,
    problem: (row) => {
      const problem = humanEvalProblem(row, prompt);
      return { ...problem, stop, empty: empty ?? problem.empty };
    },
    program: program('plus_input'),
    base: program('base_input'),
  });
}

function testsOf({ entryPoint, json }: EvalPlusRow, inputs: string): PythonCalls {
  // A text of JSON is one of Python too.
  const [script, row] = [tester, json].map((text) => JSON.stringify(text));
  const setup = `__evalplus__ = {}\nexec(${script}, __evalplus__)\n__row__ = ${row}\n`;
  const tests = `__evalplus__["tests"](__row__, "${inputs}")`;
  // No builtin is named here: the function under test may have its name.
  const code = `for __test__ in ${tests}:\n    assert __test__(${entryPoint}), f"{__test__}"\n`;
  return { kind: 'python-calls', setup, code, entryPoints: [entryPoint], inProcess: `\n${setup}${code}` };
}
