import { DataError } from '@flex/base';
import type { HumanEvalRow } from '@flex/datasets';
import type { Benchmark, Problem } from '../benchmark.ts';
import { fromRows, type Identified, sourceOf } from './from-rows.ts';

/**
 * `raw`: the prompt as published, ending in a newline. `stripped`: without blanks around it, as bigcode's.
 */
export const humanEvalPrompts = ['raw', 'stripped'] as const;
export type HumanEvalPrompt = (typeof humanEvalPrompts)[number];

/** What ends a completion: the list of bigcode-evaluation-harness, which extends that of Chen et al. 2021. */
export const humanEvalStop = ['\nclass', '\ndef', '\n#', '\n@', '\nprint', '\nif', '\n```', '<file_sep>'];

/**
 * The row, if its tests can run. Throws DataError for those that need numpy, which no box has: evalplus' on
 * Hugging Face.
 */
export function judgedHumanEvalRow(row: Identified<HumanEvalRow>, where: string): Identified<HumanEvalRow> {
  if (!/^\s*(?:import|from) numpy\b/m.test(row.test)) return row;
  throw new DataError(
    `${where}: its test imports numpy, which programs are judged without; of EvalPlus take evalplus' own release, ` +
      'HumanEvalPlus.jsonl, with base_input and plus_input',
  );
}

/** What a row asks for: a body to the function that the prompt ends with. */
export function humanEvalProblem(
  { id, prompt, canonical }: Pick<Identified<HumanEvalRow>, 'id' | 'prompt' | 'canonical'>,
  way: HumanEvalPrompt,
): Problem {
  const shown = way === 'raw' ? prompt : prompt.trim();
  // What stripping took from the end belongs to every completion, a newline at least.
  const gap = way === 'raw' ? '' : prompt.slice(prompt.trimEnd().length);
  return {
    id,
    language: 'py',
    prompt: shown,
    stop: humanEvalStop,
    canonical: canonical === null ? null : gap + canonical,
    empty: `${gap}    return None\n`,
  };
}

/**
 * HumanEval (Chen et al. 2021). A program is prompt + completion, nothing between: a completion of the
 * stripped prompt begins with its own newline. It is tested by `test` and `check(entry_point)`, with the
 * published prompt around them, whose helpers some tests use.
 */
export function humanEval(
  rows: readonly Identified<HumanEvalRow>[],
  { prompt = 'raw' }: { readonly prompt?: HumanEvalPrompt } = {},
): Benchmark {
  return fromRows({
    name: 'humaneval',
    options: { prompt, stop: humanEvalStop },
    rows,
    problem: (row) => humanEvalProblem(row, prompt),
    program: (row, problem, completion) => {
      const code = `${row.test}\ncheck(${row.entryPoint})\n`;
      return {
        language: 'py',
        source: sourceOf(problem, completion),
        tests: {
          kind: 'python-calls',
          setup: row.prompt,
          code,
          entryPoints: [row.entryPoint],
          inProcess: `\n${code}`,
        },
      };
    },
  });
}
