// Forked by tests that run as root: moves into a memory control group that holds less than one box may,
// becomes a user, judges programs that take all the memory they get beside one that takes none, and sends its
// parent the verdicts and the notes.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import type { Program } from '../program.ts';
import { openSandbox } from '../sandbox/sandbox.ts';

const [folder, user] = process.argv.slice(2);
writeFileSync(join(folder, 'cgroup.procs'), String(process.pid));
process.setgroups?.([]);
process.setgid?.(Number(user));
process.setuid?.(Number(user));

const takesAll = 'data = []\nwhile True: data.append(bytes([1]) * (1 << 20))';
const sources = [takesAll, 'def f(x): return 2 * x', `import os\nfor _ in range(3): os.fork()\n${takesAll}`];
const code = 'assert f(2) == 4';
const tests: Program['tests'] = {
  kind: 'python-calls',
  setup: '',
  code,
  entryPoints: ['f'],
  inProcess: `\n${code}\n`,
};
const notes: string[] = [];
const judgements = await judgeAll(
  sources.map((source) => ({ program: { language: 'py', source, tests }, canonical: null })),
  {
    sandbox: await openSandbox(),
    lanes: 2,
    timeout: 30,
    toolchains: {},
    cache: openJudgementCache(null),
    onNote: (line) => void notes.push(line),
  },
);
const verdicts = judgements.map(({ verdict }) => verdict);
process.send?.({ verdicts, notes }, () => process.exit(0));
