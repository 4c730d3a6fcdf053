import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openJudge } from './judge.ts';
import { judgeAll } from './judge-all.ts';
import { openJudgementCache } from './judgement-cache.ts';
import type { Program } from './program.ts';
import { openSandbox } from './sandbox/sandbox.ts';
import { attackProgram, readAttacks } from './testing/attacks.ts';
import { honestProgram, readHonest } from './testing/honest.ts';
import { isLong } from './testing/long.ts';
import { withoutSandbox } from './testing/without-sandbox.ts';
import { toolchainVersions } from './toolchain.ts';
import type { Verdict } from './verdict.ts';

interface Expected {
  readonly name: string;
  readonly program: Program;
  readonly verdicts: readonly Verdict[];
}

/** Hostile programs that end by themselves soon, in every order anew. */
const quick: Readonly<Record<'python' | 'java', readonly string[]>> = {
  python: [
    'exit-zero.py',
    'forbidden-calls.py',
    'locks-of-dev.py',
    'locks-of-usr.py',
    'page-cache-by-nowait.py',
    'patch-builtins.py',
    'write-everywhere.py',
    'works-in-threads.py',
  ],
  java: [
    'assertions-off-by-name.java',
    'chained-ones-behind-a-type-error.java',
    'deep-minus.java',
    'deep-parentheses-around-a-float.java',
    'deep-types.java',
    'numbers-out-of-range.java',
    'system-exit.java',
    'wide-constants.java',
  ],
};
/** Problems whose first honest programs take part, and what solves none of them. */
const problems = { python: ['fib', 'words', 'balanced'], java: ['mean', 'describe'] } as const;
const wrong = {
  python: 'fib = words = balanced = lambda x: x\n',
  java: '        throw new RuntimeException();\n',
};

function expectedOf(language: 'python' | 'java'): Expected[] {
  const hostile = readAttacks()
    .filter(({ file }) => quick[language].some((name) => file === `${language}/${name}`))
    .map((attack) => ({ name: attack.file, program: attackProgram(attack), verdicts: attack.verdicts }));
  const ordinary = problems[language].flatMap((problem): Expected[] => {
    const honest = readHonest().filter((its) => its.language === language && its.problem === problem);
    const bad = { ...honest[0], name: 'wrong', source: wrong[language] };
    return [
      ...honest
        .slice(0, 4)
        .map((its) => ({ name: its.name, program: honestProgram(its), verdicts: ['passed'] as const })),
      { name: `${problem}: wrong`, program: honestProgram(bad), verdicts: ['failed'] },
    ];
  });
  return [...hostile, ...ordinary];
}

describe.skipIf(withoutSandbox)('verdicts do not depend on neighbours', () => {
  test.each([
    { language: 'python', orders: isLong ? 20 : 6 },
    { language: 'java', orders: isLong ? 20 : 2 },
  ] as const)(
    'of $language, in $orders orders and with one lane or two',
    async ({ language, orders }) => {
      const expected = expectedOf(language);
      expect(expected.length).toBeGreaterThanOrEqual(14);
      const every = { minLength: expected.length, maxLength: expected.length };
      const shuffled = fc.sample(fc.shuffledSubarray(expected, every), orders);
      const wrong: string[] = [];
      for (const [i, order] of shuffled.entries()) {
        const jobs = order.map(({ program }) => ({ program, canonical: null }));
        const judgements = await judgeAll(jobs, {
          sandbox: await openSandbox(),
          lanes: 1 + (i % 2),
          timeout: null,
          toolchains: await toolchainVersions(['py', 'java']),
          cache: openJudgementCache(null),
        });
        const names = order.map(({ name }) => name);
        for (const [j, { name, verdicts }] of order.entries()) {
          const { verdict, detail } = judgements[j];
          if (verdicts.includes(verdict)) continue;
          wrong.push(`${name}: ${verdict} (${detail}), after ${names.slice(0, j).join(', ')}`);
        }
      }
      expect(wrong).toEqual([]);
    },
    20 * 60_000,
  );

  const poisons = readAttacks().filter(({ family }) => family === 'poisoned-compiler');
  const [floats] = readHonest().filter(({ file, problem }) => file === 'java-styles' && problem === 'mean');
  // One that overflows the compiler's stack; where it does depends on what it has compiled before.
  const deep = (links: number) =>
    `        String x = "" + Math.PI${'+1'.repeat(links)};\n        return 0;\n`;
  const chains = [8905, 8908, 8911, 8914, 8917, 8920].map((links) => ({ ...poisons[0], text: deep(links) }));
  test.skipIf(!isLong)(
    'of a right Java program after each one that breaks the compiler',
    { timeout: 20 * 60_000 },
    async () => {
      const judge = openJudge({ sandbox: await openSandbox(), lane: 0, timeout: null });
      const wrong: string[] = [];
      for (const poison of [...poisons, ...chains]) {
        await judge.judge(attackProgram(poison));
        const { verdict, detail } = await judge.judge(honestProgram(floats));
        if (verdict !== 'passed') wrong.push(`${verdict} (${detail}) after ${poison.file}`);
      }
      await judge.close();
      expect(wrong).toEqual([]);
      expect(poisons.length).toBeGreaterThan(25);
    },
  );
});
