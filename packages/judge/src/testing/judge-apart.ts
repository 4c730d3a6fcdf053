import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { JudgeAttacksOptions, JudgedAttack } from './judge-attacks.ts';
import type { MemoryGroup } from './memory-group.ts';

export interface JudgeApartOptions extends JudgeAttacksOptions {
  /** Whom the harness becomes, which needs root; null leaves it who it is. */
  readonly user?: number | null;
  /** What bounds the memory of the harness and all its boxes. */
  readonly group?: MemoryGroup;
}

/** `judgeAttacks` in a process of its own. Rejects where that process ends before it has judged. */
export function judgeApart({ user = null, group, ...options }: JudgeApartOptions): Promise<JudgedAttack[]> {
  const child = fork(join(import.meta.dirname, 'judging-process.ts'), { execArgv: ['--import', 'tsx'] });
  return new Promise((resolve, reject) => {
    child.once('message', (judged) => resolve(judged as JudgedAttack[]));
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`the judging process ended with code ${code}, signal ${signal}`)),
    );
    group?.add(child.pid as number);
    child.send({ user, ...options });
  });
}
