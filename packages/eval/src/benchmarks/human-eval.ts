import type { Benchmark } from '../benchmark.ts';
import { DataError } from '../errors.ts';
import { id, optionalText, type RawRow, text } from './fields.ts';
import { fromRows, sourceOf } from './from-rows.ts';

/** A row of HumanEval, as its publisher names the keys. */
export interface HumanEvalRow {
  readonly id: string;
  readonly prompt: string;
  readonly entryPoint: string;
  readonly test: string;
  readonly canonical: string | null;
}

/**
 * `raw`: the prompt as published, ending in a newline. `stripped`: without blanks around it, as bigcode's.
 */
export const humanEvalPrompts = ['raw', 'stripped'] as const;
export type HumanEvalPrompt = (typeof humanEvalPrompts)[number];

/** What ends a completion: the list of bigcode-evaluation-harness, which extends that of Chen et al. 2021. */
const stop = ['\nclass', '\ndef', '\n#', '\n@', '\nprint', '\nif', '\n```', '<file_sep>'];

/** A row of `{task_id, prompt, entry_point, canonical_solution?, test}`. Throws DataError. */
export function readHumanEvalRow(row: RawRow, where: string): HumanEvalRow {
  const entryPoint = text(row, 'entry_point', where);
  if (!/^[A-Za-z_]\w*$/.test(entryPoint)) {
    throw new DataError(
      `${where}: entry_point must be the name of a function, got ${JSON.stringify(entryPoint)}`,
    );
  }
  return {
    id: id(row, 'task_id', where),
    prompt: text(row, 'prompt', where),
    entryPoint,
    test: text(row, 'test', where),
    canonical: optionalText(row, 'canonical_solution', where),
  };
}

/**
 * HumanEval (Chen et al. 2021). A program is prompt + completion, nothing between: a completion of the
 * stripped prompt begins with its own newline. It is tested by `test` and `check(entry_point)`, with the
 * published prompt around them, whose helpers some tests use.
 */
export function humanEval(
  rows: readonly HumanEvalRow[],
  { prompt = 'raw' }: { readonly prompt?: HumanEvalPrompt } = {},
): Benchmark {
  return fromRows({
    name: 'humaneval',
    options: { prompt, stop },
    rows,
    problem: (row) => {
      const shown = prompt === 'raw' ? row.prompt : row.prompt.trim();
      // What stripping took from the end belongs to every completion, a newline at least.
      const gap = prompt === 'raw' ? '' : (/\s*$/.exec(row.prompt)?.[0] ?? '');
      return {
        id: row.id,
        language: 'py',
        prompt: shown,
        stop,
        canonical: row.canonical === null ? null : gap + row.canonical,
        empty: `${gap}    return None\n`,
      };
    },
    program: (row, problem, answer) => {
      const code = `${row.test}\ncheck(${row.entryPoint})\n`;
      return {
        language: 'py',
        source: sourceOf(problem, answer),
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
