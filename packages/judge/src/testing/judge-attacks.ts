import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { toolchainVersions } from '../toolchain.ts';
import type { Judgement } from '../verdict.ts';
import { type Attack, attackProgram, type Family, readAttacks } from './attacks.ts';
import { isLong } from './long.ts';

/** A hostile program and the judge's word on it. */
export interface JudgedAttack {
  readonly attack: Attack;
  readonly judgement: Judgement;
}

export interface JudgeAttacksOptions {
  /** Programs judged at once; two, if not said. */
  readonly lanes?: number;
  /** Those to judge; all, if not said. */
  readonly families?: readonly Family[];
}

/** Of poisoned compilers, of which each takes a second, one in so many is judged in short tests. */
const shortShare = 4;

/** Judges hostile programs in Python and Java in the machine's sandbox; `apart.test.ts` has the others. */
export async function judgeAttacks({
  lanes = 2,
  families,
}: JudgeAttacksOptions = {}): Promise<JudgedAttack[]> {
  const attacks = readAttacks().filter(
    ({ family, language }, i) =>
      (language === 'python' || language === 'java') &&
      (families?.includes(family) ?? true) &&
      (isLong || family !== 'poisoned-compiler' || i % shortShare === 0),
  );
  const options = {
    sandbox: await openSandbox(),
    lanes,
    toolchains: await toolchainVersions(['py', 'java']),
    cache: openJudgementCache(null),
  };
  const judged: JudgedAttack[] = [];
  for (const timeout of new Set(attacks.map(({ seconds }) => seconds))) {
    const its = attacks.filter(({ seconds }) => seconds === timeout);
    const jobs = its.map((attack) => ({ program: attackProgram(attack), canonical: null }));
    const judgements = await judgeAll(jobs, { ...options, timeout });
    judged.push(...its.map((attack, i) => ({ attack, judgement: judgements[i] })));
  }
  return judged;
}

/** The hostile programs that were judged as they should not be, each with its judgement. */
export function misjudged(judged: readonly JudgedAttack[]): string[] {
  return judged
    .filter(({ attack, judgement }) => !attack.verdicts.includes(judgement.verdict))
    .map(({ attack, judgement }) => `${attack.file}: ${JSON.stringify(judgement)}`);
}
