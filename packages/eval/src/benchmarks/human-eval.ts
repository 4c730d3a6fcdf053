import type { HumanEvalRow } from '@flex/datasets';
import type { Benchmark } from '../benchmark.ts';
import { fromRows, type Identified, sourceOf } from './from-rows.ts';

/**
 * `raw`: the prompt as published, ending in a newline. `stripped`: without blanks around it, as bigcode's.
 */
export const humanEvalPrompts = ['raw', 'stripped'] as const;
export type HumanEvalPrompt = (typeof humanEvalPrompts)[number];

/** What ends a completion: the list of bigcode-evaluation-harness, which extends that of Chen et al. 2021. */
const stop = ['\nclass', '\ndef', '\n#', '\n@', '\nprint', '\nif', '\n```', '<file_sep>'];

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
    options: { prompt, stop },
    rows,
    problem: (row) => {
      const shown = prompt === 'raw' ? row.prompt : row.prompt.trim();
      // What stripping took from the end belongs to every completion, a newline at least.
      const gap = prompt === 'raw' ? '' : row.prompt.slice(row.prompt.trimEnd().length);
      return {
        id: row.id,
        language: 'py',
        prompt: shown,
        stop,
        canonical: row.canonical === null ? null : gap + row.canonical,
        empty: `${gap}    return None\n`,
      };
    },
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
