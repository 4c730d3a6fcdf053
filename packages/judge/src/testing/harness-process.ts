/**
 * A harness in a process of its own, for tests that start it as another user, hand it open files, or kill it:
 * `look MARKER` makes a few boxes and prints what came of them as JSON; `kill MARKER` makes a few and kills
 * them; `loop MARKER` makes boxes until it is killed, some of which sleep, with daemons, while others are
 * killed as they are made.
 */
import { setTimeout } from 'node:timers/promises';
import { defaultLimits } from '../sandbox/limits.ts';
import { run } from '../sandbox/run.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { daemons, processesWith, python, sleeper } from './boxed.ts';

/** What a harness process finds out about its boxes. */
export interface Look {
  readonly uid: number | undefined;
  readonly mode: string;
  /** Exit code and output of a program that tries a few things it must not be able to do. */
  readonly attempts: readonly [number | null, string];
  readonly wall: string | null;
  readonly memory: string | null;
  /** Processes that are still there after their box ended. */
  readonly left: number;
}

const attempts = `
import os, socket
def result(action, *arguments):
    try:
        action(*arguments)
        return 'worked'
    except OSError as error:
        return type(error).__name__
def files():
    targets = {os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if int(fd) > 3}
    return sorted(targets - {'/dev/null'})
print(os.getuid(), result(open, '/x', 'w'), result(open, '/usr/x', 'w'), result(open, '/tmp/x', 'w'),
      result(socket.socket), result(os.kill, -1, 0), files(),
      len([name for name in os.listdir('/proc') if name.isdigit()]))
`;

async function look(marker: string): Promise<Look> {
  const { mode } = await openSandbox();
  const tried = await run(python(attempts));
  const wall = await run(daemons(marker), { ...defaultLimits, wallSeconds: 0.5 });
  const limits = { ...defaultLimits, memoryBytes: 64 * 2 ** 20 };
  const memory = await run(python('import os, time; x = os.urandom(1 << 20) * 90; time.sleep(60)'), limits);
  return {
    uid: process.getuid?.(),
    mode,
    attempts: [tried.code, tried.stdout.trim() + tried.stderr],
    wall: wall.stopped,
    memory: memory.stopped,
    left: processesWith(marker).filter((pid) => Number(pid) !== process.pid).length,
  };
}

async function kill(marker: string): Promise<void> {
  const sandbox = await openSandbox();
  const limits = { ...defaultLimits, wallSeconds: 30 };
  for (let i = 0; i < 20; i++) {
    let isUp = () => {};
    const up = new Promise<void>((resolve) => {
      isUp = resolve;
    });
    const box = sandbox.open({ ...daemons(marker), limits, lane: i % 2, onOutput: () => isUp() });
    await up;
    box.kill();
    await box.ended;
  }
}

async function loop(marker: string): Promise<never> {
  const sandbox = await openSandbox();
  const limits = { ...defaultLimits, wallSeconds: 60 };
  sandbox.open({ ...daemons(marker), limits, lane: 0 });
  sandbox.open({ ...daemons(marker), limits, lane: 1 });
  const keepOpening = async (lane: number): Promise<never> => {
    for (;;) {
      const box = sandbox.open({ ...sleeper(marker), limits, lane });
      await setTimeout(Math.random() * 20);
      box.kill();
      await box.ended;
    }
  };
  process.stdout.write('ready\n');
  return await Promise.race([2, 3, 4].map(keepOpening));
}

const [task, marker] = process.argv.slice(2);
// A harness that nobody kills must not stay.
setTimeout(30_000, undefined, { ref: false }).then(() => process.exit(1));
if (task === 'loop') await loop(marker);
else if (task === 'kill') await kill(marker);
else process.stdout.write(JSON.stringify(await look(marker)));
