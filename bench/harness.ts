// Measures cases side by side, round by round: this process and, in the same run, whatever else can do them
// (the same bench on other devices, peers in JavaScript and Python, another checkout of this repository) and
// the machine's own limits. README.md says how to run which. Every bench has these options, and its own:
//   --device cpu|webgpu|gpujs   whose rows come first, and whose name the record has; cpu is the CPU engine
//   --threads N                 of the CPU engine and of the limits; left out, one a core
//   --beside DEVICE,DEVICE      the same bench on other devices
//   --against DIR               the same bench of another checkout, which must have this harness
//   --only TEXT                 cases whose name has it
//   --rounds N
//   --save                      keeps the record in results/
import { existsSync, writeFileSync } from 'node:fs';
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
  /** Its limit is the fastest of the bench's limits whose name begins so. */
  readonly limit?: string;
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
  /** What the machine can do at most; measured in this process alone. */
  readonly limits?: readonly Case[];
  /** Runs of each case before any is timed. */
  readonly warmUps: number;
  readonly rounds: number;
  /** What a round of a case lasts about, in milliseconds: short ones are run more than once in it. */
  readonly roundMs?: number;
  /** Scripts in peers/ with their arguments: `.py` for Python, `.mjs` for Node. */
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
  /** Its rate by that of its limit. */
  readonly of_limit?: number;
};

const everywhere = {
  ...{ device: 'cpu', threads: '', beside: '', against: '', only: '', rounds: '' },
  ...{ save: false, serve: false },
};
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
  const cases = plan.cases.filter(({ name }) => name.includes(options.only));
  if (options.serve) {
    await serve(inThisProcess({ ...plan, cases }));
    return [];
  }
  const limits = (plan.limits ?? []).filter(({ name }) =>
    cases.some(({ limit }) => limit !== undefined && name.startsWith(limit)),
  );
  const all = [...cases, ...limits];
  const contestants = [
    inThisProcess({ ...plan, cases: all }),
    ...(await Promise.all([...beside(options), ...against(options), ...peers({ ...plan, cases })])).flat(),
  ];
  const rounds = Number(options.rounds || plan.rounds);
  const rows = ofLimits(await compete(rounds, all, contestants), all);
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

/** This bench in the checkout of a folder `bench`, with the same options but on a device of its own. */
function another(folder: string, device: string, options: Options): Promise<Contestant> {
  const { device: _, beside, against, save, serve, ...same } = options;
  const given = Object.entries(same).flatMap(([name, value]) => (value ? [`--${name}=${value}`] : []));
  const script = join(folder, basename(process.argv[1]));
  const args = ['--import', 'tsx', script, ...given, `--device=${device}`, '--serve'];
  return inProcess(process.execPath, args, folder);
}

/** This bench on the other devices, started; one that this machine lacks says why and is left out. */
function beside(options: Options): Promise<readonly Contestant[]>[] {
  const names = options.beside.split(',').filter((device) => device !== '');
  return names.map(async (device) => {
    try {
      return [await another(import.meta.dirname, device, options)];
    } catch {
      console.log(`nothing beside on ${device}: it did not start`);
      return [];
    }
  });
}

/** This bench in another checkout, started. */
function against(options: Options): Promise<Contestant>[] {
  const { against: folder, device } = options;
  if (!folder) return [];
  const other = another(resolve(folder, 'bench'), device, options);
  return [other.then((contestant) => ({ ...contestant, what: `${folder}: ${contestant.what}` }))];
}

/** The peers that this machine has, started. */
function peers({ cases, peers = [], warmUps, roundMs }: Bench): Promise<Contestant>[] {
  const folder = join(import.meta.dirname, 'peers');
  const task = JSON.stringify({
    cases: cases.map(({ name, facts }) => ({ name, facts })),
    ...{ warm_ups: warmUps, round_ms: roundMs ?? null },
  });
  const python = process.env.FLEX_PEER_PYTHON;
  const node = existsSync(join(folder, 'js', 'node_modules')) ? process.execPath : undefined;
  const kinds = [
    { ending: '.py', command: python, options: [], without: 'FLEX_PEER_PYTHON names no Python' },
    {
      ending: '.mjs',
      command: node,
      options: ['--import', 'tsx'],
      without: '`pnpm bench-peers` installs them',
    },
  ];
  return kinds.flatMap(({ ending, command, options, without }) => {
    const scripts = peers.filter(([script]) => script.endsWith(ending));
    if (scripts.length > 0 && !command) console.log(`no peers of ${ending}: ${without}`);
    return (command ? scripts : []).map(([script, ...args]) =>
      inProcess(command!, [...options, join(folder, script), ...args, task], import.meta.dirname),
    );
  });
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

/** Each row with its rate by that of its case's limit. */
function ofLimits(rows: readonly Row[], cases: readonly Case[]): Row[] {
  return rows.map((row) => {
    const { limit, work } = cases.find(({ name }) => name === row.name)!;
    if (limit === undefined) return row;
    const [rate] = Object.keys(work!());
    const limits = rows.filter(({ name }) => name.startsWith(limit)).map((each) => Number(each[rate]));
    return { ...row, of_limit: digits(Number(row[rate]) / Math.max(...limits)) };
  });
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

function line({ what, name, seconds, cpu_seconds, ratio, of_limit, ...others }: Row): string {
  const [wall, cpu] = [seconds, cpu_seconds].map((s) => (1000 * s).toFixed(3).padStart(11));
  const rate = Object.entries(others).find(([key]) => key === 'gflops' || key.endsWith('per_second'));
  const unit = rate?.[0].replace('gigabytes', 'GB').replace('_per_second', '/s');
  const rated = rate ? `${Number(rate[1]).toFixed(1).padStart(8)} ${unit}` : '';
  const limited = of_limit === undefined ? '' : ` ${(100 * of_limit).toFixed(0).padStart(3)} %`;
  const compared = ratio === undefined ? '' : ` ×${ratio.toFixed(3)}`;
  return `${name.padEnd(48)} ${wall} ms ${cpu} ms CPU ${rated}${limited}${compared}  ${what.slice(0, 60)}`;
}
