import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { shared } from '@flex/fixtures';

/** A row whose inputs, as JSON, may be what JavaScript has no values for. */
export interface PlusRow {
  readonly id?: string;
  readonly name?: string;
  /** The body of the canonical solution. */
  readonly body: string;
  readonly base?: string;
  readonly plus: string;
  readonly atol?: string;
}

/** The row as a line of EvalPlus' own file. */
export function encoded({
  id = 'HumanEval/900',
  name = 'f',
  body,
  base = '[[1]]',
  plus,
  atol = '0',
}: PlusRow) {
  const prompt = `from typing import List\n\n\ndef ${name}(*a):\n    """ What it gives. """\n`;
  const texts = { task_id: id, prompt, entry_point: name, canonical_solution: `    ${body}\n`, contract: '' };
  return `${JSON.stringify(texts).slice(0, -1)}, "base_input": ${base}, "plus_input": ${plus}, "atol": ${atol}}\n`;
}

/** HumanEval's problems as rows of EvalPlus, with inputs made from those of their tests. */
export function rowsOfHumanEval(problems: number, inputs: number): Record<string, unknown>[] {
  const published = gunzipSync(readFileSync(shared('data/HumanEval.jsonl.gz')))
    .toString()
    .trim()
    .split('\n');
  const maker = new URL('../../fixtures/eval_plus_rows.py', import.meta.url).pathname;
  const step = Math.floor(published.length / problems);
  const input = published.filter((_, i) => i % step === 0).join('\n');
  const { stdout, status } = spawnSync('python3', ['-W', 'ignore', maker, String(inputs)], {
    input,
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error('eval_plus_rows.py has failed');
  return stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}
