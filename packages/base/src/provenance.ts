import { relative, resolve } from 'node:path';
import { z } from 'zod';
import type { Code } from './code.ts';
import { commandLine } from './command-line.ts';
import { digestJson, type FileDigest } from './digest.ts';
import { DataError } from './errors.ts';
import { describeMachine, type Machine } from './machine.ts';

/** A file or folder that something was made from. */
export interface Source {
  /** Absolute. */
  readonly path: string;
  /** Of a file its own; of a folder SHA-256 of the canonical JSON of `[name in it, sha256]` of each file. */
  readonly sha256: string;
  /** A folder of more than 64 files is listed as one. */
  readonly files: readonly FileDigest[];
}

export interface AdapterSource extends Source {
  /** Its factor in the sum of the adapters. */
  readonly weight: number;
}

export interface DataSource extends Source {
  readonly use: 'training' | 'held-out' | 'benchmark';
}

/** A module that a part comes from. */
export interface ModuleDigest extends FileDigest {
  /** The part's name. */
  readonly part: string;
}

/** What went into a result. */
export interface Inputs {
  /** Null where completions of a file were judged. */
  readonly model: Source | null;
  /** On top of the model; of a run the one that it continues. */
  readonly adapters: readonly AdapterSource[];
  /** The storage type that the model was rounded to with the adapter folded in; null where it was not. */
  readonly merged: string | null;
  /** How the weights were to be stored. */
  readonly dtype: string | null;
  /** A file of completions; null where the model made them. */
  readonly samples: Source | null;
  readonly data: readonly DataSource[];
  /** Of parts that are not built in. */
  readonly modules: readonly ModuleDigest[];
  /** SHA-256 of the options that decide the result, as they were resolved. */
  readonly options: string;
  /** Every seed by what it is for. */
  readonly seeds: Readonly<Record<string, number>>;
}

/** By which code, and where. */
export interface Setting {
  readonly code: Code;
  /** The program and its arguments, secrets as `***`. */
  readonly command: readonly string[];
  /** The folder it was given in. */
  readonly cwd: string;
  /** The WebGPU adapter's name, or that of the backend that took its place. */
  readonly device: string | null;
  readonly machine: Machine;
}

/** When a command went on with what one before it had begun. */
export interface Resumption {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Updates done before, of a run. */
  readonly after: number | null;
  /** The command before, and what else was otherwise until then, such as the code or the device. */
  readonly until: Pick<Setting, 'command'> & Partial<Inputs & Setting>;
}

/** Which model, adapter, data, samples and code made a record, by which command, when and where. */
export interface Provenance extends Inputs, Setting {
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly resumed: readonly Resumption[];
  /** When the record was written; null before. */
  readonly finished: string | null;
  /** `provenanceDigest` of all of this. */
  readonly digest: string;
}

const mostListed = 64;

/** A file or folder with the digests of the files that count of it. */
export function sourceOf(path: string, files: readonly FileDigest[]): Source {
  const absolute = resolve(path);
  const listed = files.map((file) => ({ ...file, path: resolve(file.path) }));
  const sha256 = contentDigest(absolute, listed);
  if (listed.length <= mostListed) return { path: absolute, sha256, files: listed };
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { path: absolute, sha256, files: [{ path: absolute, bytes, sha256 }] };
}

function contentDigest(path: string, files: readonly FileDigest[]): string {
  if (files.length === 1 && files[0].path === path) return files[0].sha256;
  return digestJson(files.map((file) => [relative(path, file.path).replaceAll('\\', '/'), file.sha256]));
}

/** What this process runs, on a device, which is null where none computes. */
export function settingOf(code: Code, device: string | null): Setting {
  return { code, command: commandLine(), cwd: process.cwd(), device, machine: describeMachine() };
}

/** The provenance of what begins now. */
export function beginProvenance(inputs: Inputs, setting: Setting): Provenance {
  return digested({ ...inputs, ...setting, started: now(), resumed: [], finished: null });
}

/** That of what goes on now: with these inputs and this setting, and what was otherwise before. */
export function resumeProvenance(
  before: Provenance,
  { inputs, setting, after = null }: { inputs: Inputs; setting: Setting; after?: number | null },
): Provenance {
  const facts = { ...inputs, ...setting };
  const [were, are]: Record<string, unknown>[] = [before, facts].map((of) => ({ ...of, ...decisive(of) }));
  const otherwise = (key: string) => digestJson(were[key]) !== digestJson(are[key]);
  const entries = Object.entries(before).filter(([key]) => key in facts && otherwise(key));
  const until: Resumption['until'] = { ...Object.fromEntries(entries), command: before.command };
  const resumed = [...before.resumed, { at: now(), after, until }];
  return digested({ ...before, ...facts, resumed, finished: null });
}

/** That of what is done now. */
export function finishProvenance(provenance: Provenance): Provenance {
  return { ...provenance, finished: now() };
}

/**
 * SHA-256 of the canonical JSON of what decides a result: of the model, each adapter, the samples and each
 * data set their `sha256`; the adapters' weights, what the data are for, merged, dtype, the parts of modules with
 * their `sha256`, options and seeds; the code's commit, source and versions; and of each resumption those of
 * these that were otherwise until then.
 *
 * Not in it: paths, times, the command and its folder, the device, the machine. So it is the same for the
 * same inputs and code wherever they lie, whether resumed or not, and another when any of them changes.
 */
export function provenanceDigest(provenance: Omit<Provenance, 'digest'>): string {
  const before = provenance.resumed.map(({ until }) => decisive(until));
  return digestJson([decisive(provenance), ...before.filter((until) => Object.keys(until).length > 0)]);
}

/** The inputs that differ in what decides a result, by their keys. */
export function differentInputs(a: Inputs, b: Inputs): string[] {
  const [these, those] = [a, b].map((inputs) => decisive({ ...inputs, code: undefined }));
  return Object.keys(these).filter((key) => digestJson(these[key]) !== digestJson(those[key]));
}

/** What of this decides a result: digests in place of files, and the code. */
function decisive(from: Partial<Inputs & Pick<Setting, 'code'>>): Record<string, unknown> {
  const { model, adapters, merged, dtype, samples, data, modules, options, seeds, code } = from;
  const parts = {
    model: idOf(model),
    adapters: adapters?.map(({ sha256, weight }) => ({ sha256, weight })),
    merged,
    dtype,
    samples: idOf(samples),
    data: data?.map(({ use, sha256 }) => ({ use, sha256 })),
    modules: modules?.map(({ part, sha256 }) => ({ part, sha256 })),
    options,
    seeds,
    code,
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined));
}

function idOf(source: Source | null | undefined): string | null | undefined {
  return source === null ? null : source?.sha256;
}

function digested(provenance: Omit<Provenance, 'digest'>): Provenance {
  const whole: Record<string, unknown> = { ...provenance, digest: provenanceDigest(provenance) };
  const keys = Object.keys(record.shape);
  return Object.fromEntries(keys.map((key) => [key, whole[key]])) as unknown as Provenance;
}

const now = () => new Date().toISOString();

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'needs 64 hexadecimal digits');
const moment = z.iso.datetime();
const file = z.object({ path: z.string(), bytes: z.int().nonnegative(), sha256 });
const source = z
  .object({ path: z.string(), sha256, files: z.array(file) })
  .refine((found) => contentDigest(found.path, found.files) === found.sha256, {
    path: ['sha256'],
    message: 'does not fit the digests of its files; one of them was changed',
  });
const inputs = {
  model: source.nullable(),
  adapters: z.array(source.and(z.object({ weight: z.number() }))),
  merged: z.string().nullable(),
  dtype: z.string().nullable(),
  samples: source.nullable(),
  data: z.array(source.and(z.object({ use: z.enum(['training', 'held-out', 'benchmark']) }))),
  modules: z.array(file.extend({ part: z.string() })),
  options: sha256,
  seeds: z.record(z.string(), z.number()),
};
const setting = {
  command: z.array(z.string()),
  code: z.object({
    commit: z.object({ hash: z.string(), modified: z.boolean() }).nullable(),
    source: sha256,
    versions: z.record(z.string(), z.string()),
  }),
  cwd: z.string(),
  device: z.string().nullable(),
  machine: z.object({
    host: z.string(),
    os: z.string(),
    cpu: z.string(),
    cores: z.number(),
    memory_bytes: z.number(),
  }),
};
/** Keys in the order in which they are written. */
const record = z.object({
  digest: sha256,
  ...inputs,
  ...setting,
  started: moment,
  resumed: z.array(
    z.object({
      at: moment,
      after: z.int().nullable(),
      until: z
        .object({ ...inputs, ...setting })
        .partial()
        .required({ command: true }),
    }),
  ),
  finished: moment.nullable(),
});
const schema = record.refine((read) => provenanceDigest(read) === read.digest, {
  path: ['digest'],
  message: 'does not fit what it is the digest of; one of them was changed',
});

/**
 * The provenance in a record. Throws DataError, which begins with `where`, for what is none, and where a
 * digest does not fit what it is of.
 */
export function readProvenance(value: unknown, where: string): Provenance {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  throw new DataError(`${where}: ${['provenance', ...path].join('.')}: ${message}`);
}
