import { readFileSync } from 'node:fs';
import { collect } from '@flex/base/testing';
import { describeShared, shared } from '@flex/fixtures';
import { judge, type Language, type LanguageId, languages, toolchainOf } from '@flex/judge';
import { readExamples, withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import { openBenchmark } from './open-benchmark.ts';

const data = 'data/multipl-e';
const published = languages.filter(({ id }) => id !== 'py');

const fileOf = (id: LanguageId) => shared(`${data}/humaneval-${id}.jsonl`);

describeShared(data, "MultiPL-E's problems", () => {
  test.each(published)('in $name all have tests that can end', ({ id, seal }) => {
    const lines = readFileSync(fileOf(id), 'utf8').trim().split('\n');
    const rows = lines.map((line): { prompt: string; tests: string } => JSON.parse(line));
    expect(rows.length).toBeGreaterThan(150);
    for (const { prompt, tests } of rows) {
      const whole = `${prompt}\n${tests}`;
      const sealed = seal({ source: prompt, code: `\n${tests}` }, 'nonce');
      expect(sealed.length).toBeGreaterThanOrEqual(whole.length - 'os.exit()'.length);
    }
  });

  for (const language of published) {
    const solutions = [...readExamples(language).solutions];
    test(`in ${language.name} two are solved`, () => expect(solutions).toHaveLength(2));
    describe.skipIf(withoutSandbox)(`in ${language.name}`, async () => {
      const { missing } = await toolchainOf(language);
      test.skipIf(missing !== null).each(solutions)(
        '%s passes when solved, and fails when empty',
        async (id, completion) => {
          const benchmark = await openBenchmark({ name: fileOf(language.id) });
          const problem = (await collect(benchmark.problems())).find((known) => known.id === id)!;
          const verdictOf = async (text: string) =>
            (await judge(benchmark.program(problem, { kind: 'completion', text }))).verdict;
          expect(await verdictOf(completion)).toBe('passed');
          expect(await verdictOf((language as Language).empty)).not.toBe('passed');
        },
      );
    });
  }
});
