import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { collect, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describeShared, hasPython } from '@flex/fixtures';
import { openSandbox } from '@flex/judge';
import { isLong, withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import type { Completion } from '../benchmark.ts';
import { evaluate } from '../evaluate.ts';
import { readResults } from '../read-results.ts';
import { encodeResults, encodeSample, resultFiles } from '../results.ts';
import { encoded, rowsOfHumanEval } from '../testing/eval-plus-rows.ts';
import { openBenchmark } from './open-benchmark.ts';

const right = { plus: '[[2], [3]]', body: 'return a[0] + 1' };

describe.skipIf(withoutSandbox)('an evaluation', () => {
  test('has the score of both tests, and that of the base tests beside it', async () => {
    const path = temporaryFile('rows.jsonl', encoded(right) + encoded({ ...right, id: 'HumanEval/901' }));
    const benchmark = await openBenchmark({ name: path });
    const problems = await collect(benchmark.problems());
    const completion = (text: string): Completion => ({ kind: 'completion', text });
    const [first, second] = problems;
    const texts = [
      '    return a[0] + 1\n',
      '    return 2\n',
      '    return 3\n',
      '    return [2][a[0] != 1]\n',
    ];
    const samples = [
      ...texts.map((text) => ({
        problem: first,
        completion: completion(text),
        row: { task_id: first.id, completion: text, base: 'x' },
      })),
      {
        problem: second,
        completion: completion(texts[1]),
        row: { task_id: second.id, completion: texts[1] },
      },
    ];
    const out = temporaryFolder();
    const { results, rows } = await evaluate({
      ...{
        benchmark,
        problems,
        samples,
        folder: null,
        n: null,
        k: [1, 2],
        incomplete: 'fail',
        truncation: 'none',
      },
      ...{ decoding: null, jobs: 1, timeout: null, sandbox: await openSandbox() },
    });
    const told = rows.map(({ verdict, base, failure, detail }) => [verdict, base, failure, detail]);
    expect(told.slice(0, 5)).toEqual([
      ['passed', 'passed', null, ''],
      ['failed', 'passed', 'assertion', 'plus_input[0]: f(2) must give 3'],
      ['failed', 'failed', 'assertion', 'base_input[0]: f(1) must give 2'],
      ['failed', 'passed', 'exception', 'IndexError: list index out of range'],
      ['failed', 'passed', 'assertion', 'plus_input[0]: f(2) must give 3'],
    ]);
    expect(told.slice(5)).toEqual(Array(3).fill(['missing', 'missing', 'missing', 'no sample']));
    expect(results).toMatchObject({ 'pass@1': 1 / 8, n: 2, counts: { passed: 1, failed: 4, missing: 3 } });
    expect(results.base).toMatchObject({ 'pass@1': 1 / 2, counts: { passed: 4, failed: 1, missing: 3 } });
    expect(results.base?.['pass@2']).toBeCloseTo((1 + 1 / 2) / 2);
    writeFileSync(join(out, resultFiles.samples), rows.map(encodeSample).join(''));
    writeFileSync(join(out, resultFiles.results), encodeResults(results));
    expect(readResults(out).results).toMatchObject(results);

    const file = join(out, resultFiles.results);
    const text = readFileSync(file, 'utf8');
    for (const [from, to] of [
      ['"pass@1": 0.5', '"pass@1": 0.75'],
      ['"passed": 4', '"passed": 3'],
      ['"base":', '"base_was":'],
    ]) {
      expect(text).toContain(from);
      writeFileSync(file, text.replace(from, to));
      expect(() => readResults(out)).toThrow(/base/);
    }
  });
});

describeShared('data/HumanEval.jsonl.gz', "HumanEval's problems with more inputs", () => {
  test.skipIf(withoutSandbox || !hasPython)(
    'are passed by their solutions, not by what knows the published ones',
    async () => {
      const rows = rowsOfHumanEval(isLong ? 164 : 4, isLong ? 200 : 30);
      const path = temporaryFile('rows.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
      const benchmark = await openBenchmark({ name: path });
      const problems = await collect(benchmark.problems());
      const samples = problems.flatMap((problem, i) => {
        const { entry_point, base_input } = rows[i];
        const solution = `${problem.prompt}${problem.canonical}`;
        const known = JSON.stringify(JSON.stringify(base_input));
        const memory =
          `${solution}\nimport json\n_solved, _known = ${entry_point}, json.loads(${known})\n` +
          `def ${entry_point}(*args):\n    return _solved(*args) if list(args) in _known else "forgotten"\n`;
        return [solution, memory].map((program) => ({
          ...{ problem, row: { task_id: problem.id, program } },
          completion: { kind: 'program', text: program } as const,
        }));
      });
      const { rows: found } = await evaluate({
        ...{
          benchmark,
          problems,
          samples,
          folder: null,
          n: null,
          k: [1],
          incomplete: 'fail',
          truncation: 'none',
        },
        ...{ decoding: null, jobs: isLong ? 2 : 1, timeout: null, sandbox: await openSandbox() },
      });
      const told = found.map(({ task_id, base, verdict }) => `${task_id} ${base} ${verdict}`);
      const expected = problems.flatMap(({ id }) => [`${id} passed passed`, `${id} passed failed`]);
      expect(told).toEqual(expected);
      if (isLong) {
        const seconds = found
          .filter((_, i) => i % 2 === 0)
          .map((row) => row.seconds)
          .sort((a, b) => a - b);
        console.info(`seconds a solution: median ${seconds[82]}, most ${seconds.at(-1)}`);
      }
    },
    isLong ? 20 * 60_000 : undefined,
  );
});
