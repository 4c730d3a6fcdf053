// Measures cases side by side, round by round: this process and, in the same run, whatever else can do them:
// peers in Python, which FLEX_PEER_PYTHON names, and another checkout of this repository. Every bench takes
// --only TEXT (cases whose name has it), --rounds N, --save (the record goes to results/), --against DIR (a
// checkout that has this harness) and what it asks for itself.
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Contestant, inProcess, inThisProcess, type Sample, serve } from './contestant.ts';

export type Facts = Readonly<Record<string, unknown>>;
/** Amounts of work by the name of their rate: `{ gflops: 2.1 }` is 2.1 in one run, and gflops a second. */
export type Work = Readonly<Record<string, number>>;

export interface Case {
  /** Unique in its bench: what peers and another checkout know it by. */
  readonly name: string;
  /** What a peer must know to do the same, and a reader of the record. */
  readonly facts: Facts;
  /** Does it `count` times and waits for the device once. */
  run(count: number): Promise<void>;
  /** Of one run, asked after it. */
  work?(): Work;
  /** What else there is to record once all runs are over. */
  report?(): Facts | Promise<Facts>;
}

export interface Bench {
  /** Of its file in results/. */
  readonly name: string;
  /** Who runs the cases here: `FLeX, webgpu (…)`. */
  readonly what: string;
  readonly cases: readonly Case[];
  /** Runs of each case before any is timed. */
  readonly warmUps: number;
  readonly rounds: number;
  /** What a round of a case lasts about, in milliseconds: short ones are run more than once in it. */
  readonly roundMs?: number;
  /** Scripts in peers/ with their arguments. */
  readonly peers?: readonly (readonly string[])[];
  /** What holds for all cases, asked at the end. */
  facts?(): Facts;
}

/** One case as one contestant ran it. Rates and facts stand beside the seconds of one run. */
export type Row = Facts & {
  readonly what: string;
  readonly name: string;
  /** The median over the rounds, and the ends. */
  readonly seconds: number;
  readonly best_seconds: number;
  readonly slowest_seconds: number;
  readonly cpu_seconds: number;
  /** The median over the rounds of its seconds by this process's in the same round. */
  readonly ratio?: number;
};

const everywhere = { device: 'webgpu', only: '', rounds: '', against: '', save: false, serve: false };
export type Options = typeof everywhere;

/** The command line: the options of every bench, and others with their defaults. */
export function benchOptions<Defaults extends Record<string, string>>(defaults: Defaults) {
  const options = Object.entries({ ...everywhere, ...defaults }).map(([name, value]) => [
    name,
    { type: typeof value, default: value },
  ]);
  const { values } = parseArgs({ options: Object.fromEntries(options) });
  return values as Options & Record<keyof Defaults, string>;
}

const median = (numbers: readonly number[]) => [...numbers].sort((x, y) => x - y)[numbers.length >> 1];
const digits = (x: number) => Number(x.toPrecision(6));

/** Runs the cases, prints and, with --save, keeps a row of each; with --serve, answers another process. */
export async function bench(options: Options, plan: Bench): Promise<readonly Row[]> {
  const chosen = { ...plan, cases: plan.cases.filter(({ name }) => name.includes(options.only)) };
  const here = inThisProcess(chosen);
  if (options.serve) {
    await serve(here);
    return [];
  }
  const contestants = [here, ...(await opponents(chosen, options.against))];
  const rounds = Number(options.rounds || plan.rounds);
  const rows = await compete(rounds, chosen.cases, contestants);
  for (const contestant of contestants) contestant.close();
  for (const row of rows) console.log(line(row));
  const machine = `${cpus().length} × ${cpus()[0]?.model}`;
  const about = { bench: plan.name, date: new Date().toISOString(), machine, node: process.version, rounds };
  if (options.save) {
    const file = join(import.meta.dirname, 'results', `${plan.name}.json`);
    writeFileSync(file, `${JSON.stringify({ ...about, ...plan.facts?.(), rows }, null, 2)}\n`);
  }
  return rows;
}

/** The Python peers and the other checkout, started. */
async function opponents(plan: Bench, against: string): Promise<Contestant[]> {
  const { peers = [], warmUps, roundMs } = plan;
  const python = process.env.FLEX_PEER_PYTHON;
  if (peers.length > 0 && !python) console.log('no peers: FLEX_PEER_PYTHON names no Python');
  const cases = plan.cases.map(({ name, facts }) => ({ name, facts }));
  const task = JSON.stringify({ cases, warm_ups: warmUps, round_ms: roundMs ?? null });
  const started = (python ? peers : []).map(([script, ...args]) =>
    inProcess(python!, [join(import.meta.dirname, 'peers', script), ...args, task], import.meta.dirname),
  );
  if (against) {
    const folder = resolve(against, 'bench');
    const args = process.argv.slice(2).filter((argument) => argument !== '--save');
    const script = join(folder, basename(process.argv[1]));
    const other = inProcess(process.execPath, ['--import', 'tsx', script, ...args, '--serve'], folder);
    started.push(other.then((contestant) => ({ ...contestant, what: `${against}: ${contestant.what}` })));
  }
  return Promise.all(started);
}

/** Warms every contestant up in every case, then runs all in turn, round by round. */
async function compete(rounds: number, cases: readonly Case[], all: readonly Contestant[]): Promise<Row[]> {
  const entries = cases.flatMap((each) =>
    all
      .filter(({ names }) => names.includes(each.name))
      .map((contestant) => ({ contestant, each, samples: [] as Sample[] })),
  );
  for (const { contestant, each } of entries) await contestant.ask({ action: 'warm', name: each.name });
  for (let round = 0; round < rounds; round++) {
    // There and back, so that none always comes after the same one.
    for (const { contestant, each, samples } of round % 2 ? entries.toReversed() : entries) {
      samples.push((await contestant.ask({ action: 'run', name: each.name })) as Sample);
    }
  }
  const rows: Row[] = [];
  for (const { contestant, each, samples } of entries) {
    const report = (await contestant.ask({ action: 'report', name: each.name })) as Facts;
    const ours = entries.find((entry) => entry.each === each)!.samples;
    const row = rowOf(each, samples, ours);
    rows.push({ what: contestant.what, ...row, ...report });
  }
  return rows;
}

function rowOf({ name, facts, work }: Case, samples: readonly Sample[], ours: readonly Sample[]) {
  const seconds = samples.map((sample) => sample.seconds);
  // A peer whose work is the same need not say so.
  const works = samples.map((sample) => ({ ...work?.(), ...sample.work }));
  const rateOf = (name: string) => digits(median(works.map((done, i) => done[name] / seconds[i])));
  return {
    name,
    ...facts,
    seconds: digits(median(seconds)),
    best_seconds: digits(Math.min(...seconds)),
    slowest_seconds: digits(Math.max(...seconds)),
    cpu_seconds: digits(median(samples.map((sample) => sample.cpu_seconds))),
    ...Object.fromEntries(Object.keys(works[0]).map((name) => [name, rateOf(name)])),
    ...(samples !== ours && { ratio: digits(median(seconds.map((s, round) => s / ours[round].seconds))) }),
  };
}

function line({ what, name, seconds, cpu_seconds, ratio, ...others }: Row): string {
  const [wall, cpu] = [seconds, cpu_seconds].map((s) => (1000 * s).toFixed(3).padStart(11));
  const rate = Object.entries(others).find(([key]) => key === 'gflops' || key.endsWith('per_second'));
  const rated = rate
    ? `${Number(rate[1]).toFixed(1).padStart(8)} ${rate[0].replace('_per_second', '/s')}`
    : '';
  const compared = ratio === undefined ? '' : ` ×${ratio.toFixed(3)}`;
  return `${name.padEnd(48)} ${wall} ms ${cpu} ms CPU ${rated}${compared}  ${what.slice(0, 60)}`;
}
