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
import { isLong, readSolutions, withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import { openBenchmark } from './open-benchmark.ts';

const data = 'data/multipl-e';
const minutes = 60_000;

describeShared(data, "MultiPL-E's problems, apart from their tests", () => {
  describe.skipIf(withoutSandbox).each(['js', 'cpp'] as const)('in %s', async (id) => {
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

    const written = readSolutions(`${id}.txt`);
    const solutions = written.filter((_, i) => isInShortTests(id, i));
    test.skipIf(missing !== null)(
      'right solutions pass isolated, and fail when a little is changed',
      async () => {
        const pairs = solutions.flatMap(({ name, text, sabotaged }) => [
          [name, text] as const,
          [name, sabotaged] as const,
        ]);
        const found = (await judged(pairs)).map((judgement, i) => `${pairs[i][0]}: ${wordOf(judgement)}`);
        const right = solutions.flatMap(({ name }) => [
          `${name}: passed isolated`,
          `${name}: failed isolated`,
        ]);
        expect(found).toEqual(right);
        expect(written.length).toBeGreaterThanOrEqual(20);
      },
      15 * minutes,
    );

    test.skipIf(missing !== null)(
      'all that the tests expect crosses: programs that answer just that pass, in their order',
      async () => {
        const rows = readFileSync(file, 'utf8').trim().split('\n');
        const all = rows.map((line): Row => JSON.parse(line));
        const kinds = uniqueBy(all, replays[id].by).filter(({ name }) => !apartFrom[id].includes(name));
        const some = kinds.filter((_, i) => isInShortTests(id, i));
        const found = await judged(
          some.map(({ name, tests }) => [name, replays[id].completion(expectedValues(tests))]),
        );
        const others = some.flatMap(({ name }, i) =>
          wordOf(found[i]) === 'passed isolated' ? [] : [`${name}: ${JSON.stringify(found[i])}`],
        );
        expect(others).toEqual([]);
        expect(kinds.length).toBeGreaterThan(30);
      },
      15 * minutes,
    );
  });

  test.each([
    ['js', []],
    ['cpp', ['HumanEval_103_rounded_avg', 'HumanEval_137_compare_one', 'HumanEval_125_split_words']],
  ] as const)('in %s run in another process than the program, but %j', async (id, exceptions) => {
    const benchmark = await openBenchmark({ name: shared(`${data}/humaneval-${id}.jsonl`) });
    const problems = await collect(benchmark.problems());
    const together = problems.filter(
      (problem) => benchmark.program(problem, { kind: 'completion', text: '' }).tests.kind === 'appended',
    );
    expect(together.map((problem) => problem.id)).toEqual(exceptions);
    expect(problems).toHaveLength(161);
  });
});

/** Compiling C++ takes seconds a program, starting Node.js a tenth: long tests judge all. */
const isInShortTests = (id: 'js' | 'cpp', i: number) => isLong || i % { js: 4, cpp: 8 }[id] === 0;

interface Row {
  readonly name: string;
  readonly prompt: string;
  readonly tests: string;
}

/** Problems whose published tests do not parse, or have types that do not cross. */
const apartFrom = {
  js: ['HumanEval_51_remove_vowels'],
  cpp: ['HumanEval_103_rounded_avg', 'HumanEval_137_compare_one', 'HumanEval_125_split_words'],
};

/** Completions that give these values, one a call; for problems that differ in what `by` says. */
const replays = {
  js: {
    by: ({ name }: Row) => name,
    completion: (values: readonly string[]) =>
      `  globalThis.asked = (globalThis.asked ?? -1) + 1;\n  return [${values.join(', ')}][globalThis.asked];\n}`,
  },
  cpp: {
    by: ({ prompt }: Row) =>
      prompt
        .trimEnd()
        .split('\n')
        .at(-1)!
        .replaceAll(/\w+(?=[(,)])/g, ''),
    completion: (values: readonly string[]) =>
      `    static int asked = 0;\n    switch (asked++) {\n${values
        .map((value, i) => `        case ${i}: return ${value};\n`)
        .join('')}    }\n    std::abort();`,
  },
};

function uniqueBy<T>(items: readonly T[], key: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [key(item), item])).values()];
}

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
