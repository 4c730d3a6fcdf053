import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  beginProvenance,
  type Code,
  codeOf,
  DataError,
  finishProvenance,
  type InputFiles,
  type JsonLog,
  makeFolder,
  onDisk,
  openInputFiles,
  type Provenance,
  parseJson,
  readProvenance,
  readWhole,
  removePartial,
  resumeProvenance,
  settingOf,
  writeAtomic,
} from '@flex/base';
import type { QuantizedWeights } from '@flex/llama';
import { plainConfig, printConfig, type TrainConfig } from './config.ts';
import { respellSection, type Section } from './config-section.ts';
import type { DataSet } from './data/data-set.ts';
import { rowsFile } from './data/describe-data.ts';
import type { RunData } from './data/run-data.ts';
import { heldOutFile } from './held-out-log.ts';
import { type Manifest, makeManifest } from './manifest.ts';
import { type MetricsLine, openMetrics, rewindMetrics } from './metrics-log.ts';
import type { RunSummary } from './run.ts';
import { keyOf, type RunDigests, runInputs } from './run-inputs.ts';
import type { RunLength } from './run-length.ts';

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
  readonly overlaps: RunData['overlaps'];
  readonly lora: object;
  /** Null where the model's weights are not. */
  readonly quantized: QuantizedWeights | null;
  readonly optimizer: RecordedPart;
  readonly regularizers: readonly (RecordedPart & { readonly lambda: number; readonly enters: string })[];
  /** Updates already done: 0 begins the run. */
  readonly done: number;
  readonly length: RunLength;
  /** Layers that are computed again in the backward pass. */
  readonly recomputed: number;
}

/** A run's folder: config.yaml, manifest.json, its .jsonl files, and in the end summary.json. */
export interface RunFolder {
  readonly path: string;
  /** See `RunDigests`. */
  readonly runDigest: string;
  /**
   * Writes configuration and manifest, and opens the metrics. A run that begins first removes what a run
   * before it wrote, and nothing else; one that goes on takes back the metrics of later updates.
   */
  start(run: RunStart): void;
  /** Provenance of a record that is written now: that of the manifest, and when it was finished. */
  provenance(): Provenance;
  /** Appends a line to the metrics, which outlives the process. */
  appendMetrics(line: MetricsLine): void;
  /** Lets the metrics outlive a power cut too. */
  sync(): void;
  /** Writes the summary and closes the metrics. */
  finish(summary: object): void;
}

export interface OpenOptions {
  /** Whether a run that is there goes on. */
  readonly resume: boolean;
  /** What has been watched of the files that the run reads. */
  readonly files?: InputFiles;
}

const manifestFile = 'manifest.json';

/**
 * What a run writes. The summary is the first to be removed, as it stands for all the rest, and then the
 * checkpoints, as they stand for lines of the metrics. The manifest is last to be removed and first to be
 * written, as it marks a run.
 */
export const runFiles = [
  'summary.json',
  'checkpoints',
  'config.yaml',
  rowsFile,
  'metrics.jsonl',
  'spectrum.jsonl',
  heldOutFile,
  'adapter',
  'tensorboard',
  manifestFile,
];

let code: Code | undefined;

/** The code of this process, told once: what was loaded stays. */
function ownCode(): Code {
  code ??= codeOf(join(import.meta.dirname, '..'));
  return code;
}

/**
 * The folder `out` of a configuration, which `lockRun` has locked for its run. Nothing is written before
 * `start`.
 *
 * Throws DataError where a run is to go on that is another one, or was measured on other held-out data, whose
 * losses are not comparable.
 */
export async function openRunFolder(
  config: TrainConfig,
  { resume, files = openInputFiles() }: OpenOptions,
): Promise<RunFolder> {
  const { out } = config;
  const { inputs, digests } = await runInputs(config, files);
  const begunBefore = resume && holdsRun(out) ? provenanceIn(out, digests) : null;
  let provenance: Provenance | undefined;
  const inFolder = (name: string) => join(out, name);
  let metrics: JsonLog | undefined;
  const opened = () => {
    if (!metrics) throw new Error(`${out}: metrics are written between start and finish`);
    return metrics;
  };
  return {
    path: out,
    runDigest: digests.run,
    start: (run) => {
      files.requireUnchanged();
      const setting = settingOf(ownCode(), run.backend.description);
      provenance =
        begunBefore && run.done > 0
          ? resumeProvenance(begunBefore, { inputs, setting, after: run.done })
          : beginProvenance(inputs, setting);
      const { length, overlaps, recomputed } = run;
      const protocol = protocolOf(run);
      const manifest = makeManifest(provenance, { digests, ...length, recomputed, overlaps, protocol });
      for (const name of run.done > 0 ? ['summary.json'] : runFiles) {
        onDisk(inFolder(name), () => rmSync(inFolder(name), { recursive: true, force: true }));
      }
      makeFolder(out);
      for (const name of ['', 'adapter', 'checkpoints']) removePartial(inFolder(name));
      writeAtomic(inFolder(manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
      writeAtomic(inFolder('config.yaml'), printConfig(config));
      writeAtomic(inFolder(rowsFile), lostLines([run.data, ...run.heldOut]));
      for (const name of ['metrics.jsonl', heldOutFile]) rewindMetrics(inFolder(name), run.done);
      metrics = openMetrics(inFolder('metrics.jsonl'));
    },
    provenance: () => {
      if (!provenance) throw new Error(`${out}: has its provenance from start on`);
      return finishProvenance(provenance);
    },
    appendMetrics: (line) => opened().append(line),
    sync: () => opened().sync(),
    finish: (summary) => {
      metrics?.close();
      metrics = undefined;
      writeAtomic(inFolder('summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
    },
  };
}

/** How the run in a folder ended, in words: `is done after 40 updates`. */
export function endOf(out: string): string {
  const summary = readSummary(out);
  if (summary === null) return 'goes on, or was killed';
  const { status, steps, error } = summary;
  const how = { done: 'is done', interrupted: 'was interrupted', failed: 'failed' }[status];
  return `${how} after ${steps} updates${error === undefined ? '' : `: ${error}`}`;
}

/** The summary of the run in a folder; null where there is none. Throws DataError for what is no JSON. */
export function readSummary(out: string): RunSummary | null {
  const file = join(out, 'summary.json');
  return existsSync(file) ? (parseJson(readWhole(file).toString(), file) as RunSummary) : null;
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

/** `runKey` of the run in a folder, from its manifest. Throws DataError where it does not tell. */
export function readRunKey(out: string): string {
  const { digests, provenance } = readManifest(out) as Partial<Manifest>;
  if (digests === undefined || provenance === undefined)
    throw new DataError(`${join(out, manifestFile)}: does not tell what its run was made from`);
  return keyOf(digests, provenance);
}

/**
 * The provenance of the run in a folder, which is to go on. Throws DataError where its manifest has none, and
 * for a run of other digests.
 */
function provenanceIn(out: string, { run, held_out }: RunDigests): Provenance {
  const { provenance, digests } = readManifest(out);
  const refuse = (is: string) => {
    throw new DataError(`${out}: its run ${is}; take another out, or --overwrite`);
  };
  if (provenance === undefined) refuse('was begun by a flex that did not record provenance');
  const read = readProvenance(provenance, join(out, manifestFile));
  if (digests?.run !== run) refuse('is one with another configuration, module, model or data');
  if (digests.held_out !== held_out)
    refuse('was measured on other held-out data, or on them read otherwise: their losses are not comparable');
  return read;
}

/** Every row that is left out or cut, a line each. */
function* lostLines(sets: readonly DataSet[]): Generator<string> {
  for (const { name, lost } of sets) {
    for (const row of lost) yield `${JSON.stringify({ set: name, ...row })}\n`;
  }
}

/** What the run does, with every choice resolved: splits that were taken, options that were defaults. */
function protocolOf({
  config,
  data,
  heldOut,
  lora,
  quantized,
  optimizer,
  regularizers,
}: RunStart): Record<string, unknown> {
  const { preset, dtype, data: reading, eval: held, schedule, train } = plainConfig(config);
  return {
    preset,
    dtype,
    ...(quantized && { quantized }),
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

function describeData({ name, split, examples, maxLength, counts }: DataSet): object {
  return { name, split, max_length: maxLength, ...respellSection({ ...counts, rows: examples.length }) };
}

function partOf({ name, options }: RecordedPart): RecordedPart {
  return { name, options: respellSection(options) };
}
