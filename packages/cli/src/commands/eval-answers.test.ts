import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const tasks = [0, 1, 2];
const prompt = (n: number) => `import math\n\n\ndef add${n}(x):\n    """x and ${n} together."""\n`;
const names = (n: number) => ({ task_id: `HumanEval/${n}`, prompt: prompt(n), entry_point: `add${n}` });
const solved = (n: number) => `    return math.trunc(x) + ${n}\n`;
const problems = tasks.map((n) => ({
  ...names(n),
  test: `def check(candidate):\n    assert candidate(1) == ${n + 1}\n`,
}));
const answers = tasks.map((n) => ({
  task_id: `HumanEval/${n}`,
  completion: `Sure:\r\n\`\`\`python\r\ndef add${n}(x):\r\n${solved(n).trimEnd()}\r\n\`\`\`\r\nDone.`,
}));
const plain = tasks.map((n) => ({ task_id: `HumanEval/${n}`, completion: solved(n) }));
const file = (...rows: unknown[]) => temporaryFile('rows.jsonl', jsonl(...rows));

async function evaluated(benchmark: string, samples: string, ...more: string[]) {
  const out = temporaryFolder();
  const ended = await flex('eval', '--benchmark', benchmark, '--samples', samples, '--out', out, ...more);
  const read = (name: string) => readFileSync(join(out, name), 'utf8');
  return { ...ended, results: JSON.parse(read('results.json')), samples: read('samples.jsonl') };
}

describe.skipIf(withoutSandbox)('answers in chat form', () => {
  const hint =
    '3 of 4 answers contain fenced code blocks and do not compile as they are: ' +
    '--truncate fenced judges the code in them';

  test('fail as they are, with a hint, and pass with the preset that takes their code', async () => {
    const benchmark = file(...problems);
    const samples = file(...answers, plain[0]);
    const asTheyAre = await evaluated(benchmark, samples);
    expect(asTheyAre.stderr).toContain(hint);
    expect(asTheyAre.results.counts).toMatchObject({ passed: 1, compile_error: 3 });
    const extracted = await evaluated(benchmark, samples, '--truncate', 'fenced');
    expect(extracted.stderr).not.toContain('fenced');
    expect(extracted.results.counts).toMatchObject({ passed: 4, compile_error: 0 });
    expect(extracted.results.protocol_parts.truncation).toBe('fenced');
    expect(extracted.results.protocol).not.toBe(asTheyAre.results.protocol);
    expect(JSON.parse(extracted.samples.split('\n')[0])).toMatchObject(answers[0]);
  });

  test('have no hint where most compile, with --quiet, or in the JSON', async () => {
    const benchmark = file(...problems);
    expect((await evaluated(benchmark, file(...plain))).stderr).not.toContain('fenced');
    const quiet = await evaluated(benchmark, file(...answers), '--quiet');
    expect(quiet.stdout + quiet.stderr).not.toContain('fenced');
    const json = await evaluated(benchmark, file(...answers), '--json');
    expect(JSON.parse(json.stdout)['pass@1']).toBe(0);
    expect(json.stderr).toContain('3 of 3 answers contain');
  });
});

test.skipIf(withoutSandbox)("EvalPlus' base and plus scores stand in one table", async () => {
  const benchmark = file(
    ...tasks.map((n) => ({
      ...names(n),
      ...{ canonical_solution: solved(n), base_input: [[1]], plus_input: [[2.5], [-7.5]], atol: 0 },
    })),
  );
  const guesses = tasks.map((n) => ({
    task_id: `HumanEval/${n}`,
    completion: `    return int(x) // 1 + ${n}\n`,
  }));
  const wrong = { task_id: 'HumanEval/1', completion: '    return 2 if x == 1 else None\n' };
  const { stdout, results } = await evaluated(benchmark, file(guesses[0], wrong, guesses[2]));
  expect(stdout).toMatch(/pass@1 +│ +66\.67 % .+\n.+\n.*pass@1 of the base tests +│ +100\.00 % /);
  expect(results).toMatchObject({ benchmark: 'humaneval+', 'pass@1': 2 / 3, base: { 'pass@1': 1 } });
});
