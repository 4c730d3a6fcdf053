// Forked by `judgeApart`: waits for its task, becomes the user that the task names, once everything is loaded,
// judges the hostile programs, and sends what came of it.
import { type JudgeAttacksOptions, judgeAttacks } from './judge-attacks.ts';

process.once('message', async ({ user, ...options }: JudgeAttacksOptions & { user: number | null }) => {
  if (user !== null) {
    process.setgroups?.([]);
    process.setgid?.(user);
    process.setuid?.(user);
  }
  process.send?.(await judgeAttacks(options), () => process.exit(0));
});
