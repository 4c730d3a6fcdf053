import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inProcess, type Judge, openJudge } from '../judge.ts';
import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import { languageOf } from '../languages/index.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { toolchainOf } from '../toolchain.ts';
import { attackProgram, readAttacks } from './attacks.ts';
import { isLong } from './long.ts';
import { withoutSandbox } from './without-sandbox.ts';

const attacks = readAttacks();
/** What a program in one process with its tests may do to them. */
const forging = ['patched-runtime', 'redefinition', 'test-theft', 'secrets'];
const minutes = 60_000;

describe.skipIf(withoutSandbox).each([
  { language: 'javascript', id: 'js', isQuick: true },
  { language: 'cpp', id: 'cpp', isQuick: false },
] as const)('attacks in $language', async ({ language, id, isQuick }) => {
  const { missing } = await toolchainOf(languageOf(id));
  const its = attacks.filter((attack) => attack.language === language);
  const forgeries = its.filter(({ family }) => forging.includes(family));
  let judge: Judge;
  beforeAll(async () => {
    judge = openJudge({ sandbox: await openSandbox(), lane: 0, timeout: 4 });
  });
  afterAll(() => judge.close());

  test.skipIf(missing !== null || !(isQuick || isLong)).each(forgeries)(
    '$file passes in one process with its tests: $note',
    async (attack) => {
      const together = inProcess(attackProgram(attack))!;
      expect(await judge.judge(together)).toMatchObject({ verdict: 'passed', assurance: 'in-process' });
    },
  );
  test.skipIf(missing !== null)(
    'are judged as they should be apart from their tests',
    async () => {
      const chosen = its.filter((_, i) => isQuick || isLong || i % 6 === 0);
      const jobs = chosen.map((attack) => ({ program: attackProgram(attack), canonical: null }));
      const rest = { timeout: 4, toolchains: {}, cache: openJudgementCache(null) };
      const judged = await judgeAll(jobs, { sandbox: await openSandbox(), lanes: 2, ...rest });
      const wrong = chosen.flatMap(({ file, verdicts }, i) => {
        const { verdict, assurance } = judged[i];
        const isRight = verdicts.includes(verdict) && assurance === 'isolated';
        return isRight ? [] : [`${file}: ${JSON.stringify(judged[i])}`];
      });
      expect(wrong).toEqual([]);
      expect(forgeries.length).toBeGreaterThanOrEqual(8);
    },
    15 * minutes,
  );
});
