// Forked by tests that run as root: waits to be told its user, by when it is in a memory group that holds
// less than one box may, becomes that user, judges programs that take all the memory they get beside one that
// takes none, and sends its parent the verdicts and the notes.
import { once } from 'node:events';
import { judgeAll } from '../judge-all.ts';
import { openJudgementCache } from '../judgement-cache.ts';
import type { Program } from '../program.ts';
import { openSandbox } from '../sandbox/sandbox.ts';

const [user] = (await once(process, 'message')) as [number];
process.setgroups?.([]);
process.setgid?.(user);
process.setuid?.(user);

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
