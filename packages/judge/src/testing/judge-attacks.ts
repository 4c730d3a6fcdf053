import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { toolchainVersions } from '../toolchain.ts';
import type { Judgement } from '../verdict.ts';
import { type Attack, attackProgram, readAttacks } from './attacks.ts';

/** A hostile program and the judge's word on it. */
export interface JudgedAttack {
  readonly attack: Attack;
  readonly judgement: Judgement;
}

/** Judges the hostile programs in the machine's sandbox, two at a time. */
export async function judgeAttacks(): Promise<JudgedAttack[]> {
  const attacks = readAttacks();
  const jobs = attacks.map((attack) => ({ program: attackProgram(attack), canonical: null }));
  const judgements = await judgeAll(jobs, {
    sandbox: await openSandbox(),
    lanes: 2,
    timeout: 3,
    toolchains: await toolchainVersions(['py', 'java', 'js', 'cpp']),
    cache: openJudgementCache(null),
  });
  return attacks.map((attack, i) => ({ attack, judgement: judgements[i] }));
}
