import { readFileSync } from 'node:fs';
import { collect } from '@flex/base/testing';
import { describeShared, shared } from '@flex/fixtures';
import {
  type Judgement,
  judgeAll,
  languageOf,
  openJudgementCache,
  openSandbox,
  toolchainOf,
} from '@flex/judge';
import { readSolutions, withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import { openBenchmark } from './open-benchmark.ts';

const data = 'data/multipl-e';
const minutes = 60_000;

describeShared(data, "MultiPL-E's problems, apart from their tests", () => {
  describe.skipIf(withoutSandbox).each(['js'] as const)('in %s', async (id) => {
    const { missing } = await toolchainOf(languageOf(id));
    const file = shared(`${data}/humaneval-${id}.jsonl`);

    /** Judges completions, each the answer to a problem of this name. */
    async function judged(completions: readonly (readonly [string, string])[]): Promise<Judgement[]> {
      const benchmark = await openBenchmark({ name: file });
      const problems = new Map((await collect(benchmark.problems())).map((problem) => [problem.id, problem]));
      const jobs = completions.map(([name, text]) => ({
        program: benchmark.program(problems.get(name)!, { kind: 'completion', text }),
        canonical: null,
      }));
      const rest = { timeout: null, toolchains: {}, cache: openJudgementCache(null) };
      return await judgeAll(jobs, { sandbox: await openSandbox(), lanes: 2, ...rest });
    }

    const solutions = readSolutions(`${id}.txt`);
    test.skipIf(missing !== null)(
      'right solutions pass isolated, and fail when a little is changed',
      async () => {
        const right = await judged(solutions.map(({ name, text }) => [name, text]));
        expect(right.map(wordOf)).toEqual(solutions.map(() => 'passed isolated'));
        const wrong = await judged(solutions.map(({ name, sabotaged }) => [name, sabotaged]));
        expect(wrong.map(wordOf)).toEqual(solutions.map(() => 'failed isolated'));
        expect(solutions.length).toBeGreaterThanOrEqual(20);
      },
      10 * minutes,
    );

    test.skipIf(missing !== null)(
      'all that the tests expect crosses: programs that answer just that pass, in their order',
      async () => {
        const rows = readFileSync(file, 'utf8').trim().split('\n');
        const all = rows.map((line): { name: string; tests: string } => JSON.parse(line));
        const known = all.filter(({ name }) => !unpassable[id].includes(name));
        const found = await judged(
          known.map(({ name, tests }) => [name, replaying[id](expectedValues(tests))]),
        );
        const others = known.flatMap(({ name }, i) =>
          wordOf(found[i]) === 'passed isolated' ? [] : [`${name}: ${JSON.stringify(found[i])}`],
        );
        expect(others).toEqual([]);
        expect(found.length).toBeGreaterThan(150);
      },
      10 * minutes,
    );
  });
});

/** Problems whose published tests do not parse or compile. */
const unpassable = { js: ['HumanEval_51_remove_vowels'] };

/** A completion that gives these values, one a call. */
const replaying = {
  js: (values: readonly string[]) =>
    `  globalThis.asked = (globalThis.asked ?? -1) + 1;\n  return [${values.join(', ')}][globalThis.asked];\n}`,
};

/** What tests compare the candidate's answers with, each as the text of an expression. */
function expectedValues(tests: string): string[] {
  return tests
    .split('candidate(')
    .slice(1)
    .map((text) => {
      const rest = text.slice(closing(text) + 1).replace(/^(?:,| == )/, '');
      return rest.slice(0, closing(rest));
    });
}

/** Where the parenthesis that encloses the text is closed. */
function closing(text: string): number {
  let depth = 0;
  for (const { 0: part, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[()]/g)) {
    if (part === '(') depth++;
    if (part === ')' && depth-- === 0) return index;
  }
  throw new Error(`no parenthesis closes ${text}`);
}

const wordOf = ({ verdict, assurance }: Judgement) => `${verdict} ${assurance}`;
