import { existsSync, lstatSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  ConfigError,
  DataError,
  digestAll,
  digestFile,
  digestJson,
  type FileDigest,
  importPart,
  type JsonLog,
  makeFolder,
  parseJson,
  readWhole,
  writeAtomic,
} from '@flex/base';
import { plainConfig, printConfig, type TrainConfig, withModules } from './config.ts';
import { isSection, respellConfig, respellSection, type Section } from './config-section.ts';
import type { DataSet } from './data/data-set.ts';
import { type Manifest, type ModuleDigest, makeManifest } from './manifest.ts';
import { type MetricsLine, openMetrics, rewindMetrics } from './metrics-log.ts';

/** A part as manifests record it. */
interface RecordedPart {
  readonly name: string;
  readonly options: Section;
}

/** What is known of a run when it begins or goes on. */
export interface RunStart {
  readonly config: TrainConfig;
  readonly backend: { readonly description: string };
  readonly data: DataSet;
  readonly heldOut: readonly DataSet[];
  readonly lora: object;
  readonly optimizer: RecordedPart;
  readonly regularizers: readonly (RecordedPart & { readonly lambda: number; readonly enters: string })[];
  /** Updates already done: 0 begins the run. */
  readonly done: number;
}

/** A run's folder: config.yaml, manifest.json, metrics.jsonl, spectrum.jsonl, and in the end summary.json. */
export interface RunFolder {
  readonly path: string;
  /** SHA-256 of all that decides the run's numbers: configuration, parts, model, adapter, training data. */
  readonly runDigest: string;
  /**
   * Writes configuration and manifest, and opens the metrics. A run that begins first removes what a run
   * before it wrote, and nothing else; one that goes on takes back the metrics of later updates.
   */
  start(run: RunStart): void;
  /** Appends a line to the metrics, which outlives the process. */
  appendMetrics(line: MetricsLine): void;
  /** Writes the summary and closes the metrics. */
  finish(summary: object): void;
}

export interface OpenOptions {
  /** Whether a run that is there goes on. */
  readonly resume: boolean;
  /** Whether a run that is there is replaced. */
  readonly overwrite: boolean;
}

/** What a run writes. The manifest is last to be removed and first to be written, as it marks a run. */
const written = [
  'config.yaml',
  'metrics.jsonl',
  'spectrum.jsonl',
  'summary.json',
  'adapter',
  'checkpoints',
  'tensorboard',
];
const manifestFile = 'manifest.json';

/**
 * The folder `out` of a configuration, for its run. Nothing is written before `start`.
 *
 * Throws ConfigError where it holds a run that is neither to go on nor to be replaced, and where something
 * that no run wrote, or a link, has the name of what a run writes.
 */
export async function openRunFolder(
  config: TrainConfig,
  { resume, overwrite }: OpenOptions,
): Promise<RunFolder> {
  const { out } = config;
  requireFree(out, resume || overwrite);
  const modules = await digestModules(config);
  const model = digestModel(config.model);
  const adapter = config.adapter === null ? [] : digestModel(config.adapter);
  const data = digestAll(config.data.source);
  const inFolder = (name: string) => join(out, name);
  let metrics: JsonLog | undefined;
  const opened = () => {
    if (!metrics) throw new Error(`${out}: metrics are written between start and finish`);
    return metrics;
  };
  return {
    path: out,
    runDigest: digestJson([decisive(config, modules), ...[model, adapter, data].map(contents)]),
    start: (run) => {
      const facts = {
        adapter: run.backend.description,
        seeds: seedsOf(config),
        model: [...model, ...adapter],
        data: [...data, ...heldOutDigests(config)],
        modules,
        protocol: protocolOf(run),
      };
      const manifest = run.done > 0 ? goingOn(readManifest(out), run.done) : makeManifest(facts);
      if (run.done === 0) {
        for (const name of [...written, manifestFile])
          rmSync(inFolder(name), { recursive: true, force: true });
      }
      makeFolder(out);
      writeAtomic(inFolder(manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
      writeAtomic(inFolder('config.yaml'), printConfig(config));
      rewindMetrics(inFolder('metrics.jsonl'), run.done);
      metrics = openMetrics(inFolder('metrics.jsonl'));
    },
    appendMetrics: (line) => opened().append(line),
    finish: (summary) => {
      opened().close();
      metrics = undefined;
      writeAtomic(inFolder('summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
    },
  };
}

/** Whether the folder holds a run: one whose manifest was written, however far it came. */
export function holdsRun(out: string): boolean {
  const file = join(out, manifestFile);
  if (!existsSync(file)) return false;
  const text = readWhole(file).toString();
  try {
    return (parseJson(text, file) as Partial<Manifest> | null)?.kind === 'flex-run';
  } catch (error) {
    if (error instanceof DataError) return false;
    throw error;
  }
}

/** The manifest of the run in a folder. Throws DataError where there is none. */
export function readManifest(out: string): Manifest {
  if (!holdsRun(out)) throw new DataError(`${out}: holds no run`);
  const file = join(out, manifestFile);
  return parseJson(readWhole(file).toString(), file) as Manifest;
}

function requireFree(out: string, runMayBeThere: boolean): void {
  let above = resolve(out);
  while (!existsSync(above)) above = dirname(above);
  if (!statSync(above).isDirectory())
    throw new ConfigError(`out: ${out} cannot be made: ${above} is no folder`);
  const links = [...written, manifestFile].map((name) => join(out, name)).filter(isLink);
  if (links.length > 0) {
    throw new ConfigError(
      `${links[0]}: is a link, and nothing is written through one; take another folder as out`,
    );
  }
  if (holdsRun(out)) {
    if (runMayBeThere) return;
    throw new ConfigError(`${out}: holds a run; take another folder as out, or give --overwrite or --resume`);
  }
  const taken = [...written, manifestFile].find((name) => existsSync(join(out, name)));
  if (taken !== undefined) {
    throw new ConfigError(
      `${join(out, taken)}: was written by no run and is in the way; take another folder as out`,
    );
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** The digests of what decides the weights and the words of a model's or an adapter's folder. */
export function digestModel(folder: string): FileDigest[] {
  return digestAll(folder, (file) => /\.(json|jinja|safetensors|model)$/.test(file));
}

function goingOn(manifest: Manifest, after: number): Manifest {
  return { ...manifest, resumed: [...manifest.resumed, { at: new Date().toISOString(), after }] };
}

/** The modules that the configuration takes parts from, each once. */
async function digestModules(config: TrainConfig): Promise<ModuleDigest[]> {
  const files = new Set<string>();
  withModules({ ...config }, (file) => files.add(file));
  return Promise.all(
    [...files].map(async (file) => ({ part: (await importPart(file)).name, ...digestFile(file) })),
  );
}

/**
 * What of a configuration decides the numbers, but for the files it names, whose contents are digested. A
 * part's module counts by its name and its bytes, wherever it lies.
 */
function decisive(config: TrainConfig, modules: readonly ModuleDigest[]): object {
  const moved = withModules({ ...config }, (file) => {
    const { part, sha256 } = modules.find(({ path }) => path === file)!;
    return `${part} ${sha256}`;
  });
  const plain = plainConfig(moved as unknown as TrainConfig);
  const { data, lora, optimizer, schedule, regularizer, dtype, train } = plain;
  const { source: _, ...reading } = data as Section;
  const { eval_every: _e, save_every: _s, spectrum_every: _p, ...others } = train as Section;
  // Recomputed activations are the bits of kept ones.
  const { checkpoint_activations: _c, ...training } = others;
  return { data: reading, lora, optimizer, schedule, regularizer, dtype, train: training };
}

function contents(digests: readonly FileDigest[]): string[] {
  return digests.map(({ sha256 }) => sha256);
}

function heldOutDigests({ data, eval: heldOut }: TrainConfig): FileDigest[] {
  const sources = new Set(heldOut.map(({ source }) => source));
  sources.delete(data.source);
  return [...sources].flatMap((source) => digestAll(source));
}

/** Every option that is a seed, by its path: that of the run, and those of its parts. */
function seedsOf(config: TrainConfig): Record<string, number> {
  const sections = Object.entries(respellConfig({ ...config })).flatMap(([key, value]) =>
    Array.isArray(value) ? value.map((entry, i) => [`${key}.${i}`, entry]) : [[key, value]],
  );
  const seeds = sections.flatMap(([path, section]) =>
    Object.entries(isSection(section) ? section : {}).flatMap(([key, value]) =>
      /(^|_)seed$/.test(key) && typeof value === 'number' ? [[`${path}.${key}`, value] as const] : [],
    ),
  );
  return Object.fromEntries(seeds);
}

/** What the run does, with every choice resolved: splits that were taken, options that were defaults. */
function protocolOf({
  config,
  data,
  heldOut,
  lora,
  optimizer,
  regularizers,
}: RunStart): Record<string, unknown> {
  const { preset, dtype, data: reading, eval: held, schedule, train } = plainConfig(config);
  return {
    preset,
    dtype,
    data: { ...(reading as Section), ...describeData(data) },
    eval: heldOut.map((set, i) => ({ ...(held as Section[])[i], ...describeData(set) })),
    lora: respellSection({ ...lora }),
    optimizer: { ...partOf(optimizer), lora_plus_ratio: config.optimizer.loraPlusRatio },
    regularizers: regularizers.map((part) => ({
      ...partOf(part),
      lambda: part.lambda,
      enters: part.enters,
    })),
    schedule,
    train,
  };
}

function describeData({ name, split, examples, counts }: DataSet): object {
  return { name, split, ...respellSection({ ...counts, rows: examples.length }) };
}

function partOf({ name, options }: RecordedPart): RecordedPart {
  return { name, options: respellSection(options) };
}
