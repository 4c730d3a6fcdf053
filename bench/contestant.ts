import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Bench, Case, Work } from './harness.ts';

/** One timed round of a case, for one run of it. */
export interface Sample {
  readonly seconds: number;
  /** Processor time of the contestant: the work of a software device, whatever else the machine does. */
  readonly cpu_seconds: number;
  readonly work: Work;
}

export interface Request {
  readonly action: 'warm' | 'run' | 'report';
  readonly name: string;
}

/** Someone who can do cases: this process, or another, which is asked and answers by a line of JSON. */
export interface Contestant {
  readonly what: string;
  /** The cases it has. */
  readonly names: readonly string[];
  /** Gives a Sample for `run`, facts for the others. */
  ask(request: Request): Promise<unknown>;
  close(): void;
}

/** The most runs a round has. */
const mostRuns = 500;

export function inThisProcess({ what, cases, warmUps, roundMs }: Bench): Contestant {
  const counts = new Map<string, number>();
  const timed = async ({ run, work }: Case, count: number): Promise<Sample> => {
    const [started, used] = [performance.now(), process.cpuUsage()];
    await run(count);
    const seconds = (performance.now() - started) / 1000 / count;
    const { user, system } = process.cpuUsage(used);
    return { seconds, cpu_seconds: (user + system) / 1e6 / count, work: work?.() ?? {} };
  };
  const warm = async (each: Case) => {
    for (let i = 0; i < warmUps; i++) await each.run(1);
    if (roundMs === undefined) return;
    const { seconds } = await timed(each, 3);
    counts.set(each.name, Math.max(1, Math.min(mostRuns, Math.round(roundMs / 1000 / seconds))));
  };
  return {
    what,
    names: cases.map(({ name }) => name),
    async ask({ action, name }) {
      const each = cases.find((known) => known.name === name)!;
      if (action === 'run') return timed(each, counts.get(name) ?? 1);
      return (action === 'warm' ? await warm(each) : await each.report?.()) ?? {};
    },
    close() {},
  };
}

/** Starts a process that `serve`s; what it says first is who it is. Throws where it ends without an answer. */
export async function inProcess(command: string, args: readonly string[], cwd: string): Promise<Contestant> {
  const child = spawn(command, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args[0]} … ended without an answer`);
    return JSON.parse(value) as unknown;
  };
  const { what, names } = (await answer()) as Contestant;
  return {
    what,
    names,
    ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return answer();
    },
    close: () => child.stdin.end(),
  };
}

/** Answers the requests on standard input, a line each, until it closes. */
export async function serve({ what, names, ask }: Contestant): Promise<void> {
  const say = (answer: unknown) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  say({ what, names });
  for await (const request of createInterface({ input: process.stdin })) say(await ask(JSON.parse(request)));
}
