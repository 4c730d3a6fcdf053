import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inProcess, type Judge, openJudge } from '../judge.ts';
import { languageOf } from '../languages/index.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { toolchainOf } from '../toolchain.ts';
import { type Attack, attackProgram, readAttacks } from './attacks.ts';
import { withoutSandbox } from './without-sandbox.ts';

const attacks = readAttacks();
/** What a program in one process with its tests may do to them. */
const forging = ['patched-runtime', 'redefinition', 'test-theft', 'secrets'];
const minutes = 60_000;

describe.skipIf(withoutSandbox).each([
  { language: 'javascript', id: 'js' },
  { language: 'cpp', id: 'cpp' },
] as const)('attacks in $language', async ({ language, id }) => {
  const { missing } = await toolchainOf(languageOf(id));
  const its = attacks.filter((attack) => attack.language === language);
  const forgeries = its.filter(({ family }) => forging.includes(family));
  let judge: Judge;
  beforeAll(async () => {
    judge = openJudge({ sandbox: await openSandbox(), lane: 0, timeout: 4 });
  });
  afterAll(() => judge.close());

  test.skipIf(missing !== null).each(forgeries)(
    '$file passes in one process with its tests: $note',
    async (attack) => {
      const together = inProcess(attackProgram(attack))!;
      expect(await judge.judge(together)).toMatchObject({ verdict: 'passed', assurance: 'in-process' });
    },
  );
  test.skipIf(missing !== null)(
    'are judged as they should be apart from their tests',
    async () => {
      const wrong: string[] = [];
      for (const attack of its) wrong.push(...(await wrongVerdict(judge, attack)));
      expect(wrong).toEqual([]);
      expect(forgeries.length).toBeGreaterThanOrEqual(8);
    },
    15 * minutes,
  );
});

async function wrongVerdict(judge: Judge, attack: Attack): Promise<string[]> {
  const found = await judge.judge(attackProgram(attack));
  const isRight = attack.verdicts.includes(found.verdict) && found.assurance === 'isolated';
  return isRight ? [] : [`${attack.file}: ${JSON.stringify(found)}`];
}
