import { isAbsolute } from 'node:path';
import {
  type Code,
  ConfigError,
  DataError,
  digestJson,
  hubName,
  type InputFiles,
  sourceOf,
} from '@flex/base';
import {
  evaluationFolderOf,
  evaluationSchema,
  failureSchema,
  type Job,
  logFileOf,
  type Outcome,
  type Progress,
  runFolderOf,
} from '@flex/study';
import { decidesModel, plainConfig, runKey } from '@flex/train';
import { z } from 'zod';

/** The queue of all studies of a Redis. */
export const queueName = 'flex';

/** A name in a folder that leads nowhere else. */
const segment = z.string().regex(/^(?!\.{1,2}$)[^/\\\0]{1,255}$/);
const jobName = z
  .string()
  .refine(
    (name) => name.split('/').length <= 2 && name.split('/').every((one) => segment.safeParse(one).success),
  );
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const section = z.record(z.string(), z.unknown());

/** A job as it lies in the queue: all that a worker elsewhere needs to know of it. */
const jobSchema = z.strictObject({
  /** Of the study; equal for all its jobs, whatever its folder is called. */
  study: sha256,
  name: jobName,
  /** Null for the base model. */
  run: z.strictObject({ arm: segment, seed: z.int().min(0), key: sha256, config: section }).nullable(),
  model: z.string(),
  evaluations: z.array(evaluationSchema.extend({ name: segment })),
  /** See `Job`. */
  until: z.int().min(1).optional(),
  /**
   * The files that decide what comes of it, each under its path where the study is, or its name on the hub.
   */
  inputs: z.array(
    z.strictObject({
      path: z.string(),
      sha256,
      /** Whether of a folder those files count that decide a model. */
      is_model: z.boolean(),
    }),
  ),
  code: z.strictObject({ source: sha256, versions: z.record(z.string(), z.string()) }),
});
export type QueuedJob = z.output<typeof jobSchema>;

/** A job as a worker reads it: no module is loaded whose contents are not held to those of the study. */
export const queuedJobSchema = jobSchema.refine(
  ({ run, inputs }) => {
    const held = new Set(inputs.map(({ path }) => path));
    return modulesIn(run?.config).every((file) => isAbsolute(file) && held.has(named(file)));
  },
  { message: 'has a module that is none of its inputs' },
);

/** The modules that a value names, however deep. */
function modulesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === 'use' && typeof inner === 'string' ? [inner] : modulesIn(inner),
  );
}

/** How far a job is, as its worker tells. */
export const progressSchema = z.strictObject({
  stage: z.string(),
  updates: z.strictObject({ done: z.number(), of: z.number() }).nullable(),
}) satisfies z.ZodType<Progress>;

/** How a job ended, as its worker tells. */
export const outcomeSchema = z.discriminatedUnion('status', [
  z.strictObject({ status: z.literal('done') }),
  z.strictObject({ status: z.literal('interrupted') }),
  z.strictObject({ status: z.literal('failed'), failure: failureSchema }),
]) satisfies z.ZodType<Outcome>;

/**
 * What the queue is told of a job. Throws ConfigError for an evaluation that does not name its data: workers
 * could not be held to the same.
 */
export async function queuedJobOf(
  { name, run, model, evaluations, until }: Job,
  { study, code, files }: { readonly study: string; readonly code: Code; readonly files: InputFiles },
): Promise<QueuedJob> {
  const inputs = new Map<string, QueuedJob['inputs'][number]>();
  const read: InputFiles['digest'] = (path, accepts) => {
    const digests = files.digest(path, accepts);
    inputs.set(path, {
      path: named(path),
      sha256: sourceOf(path, digests).sha256,
      is_model: accepts === decidesModel,
    });
    return digests;
  };
  if (run) {
    const key = await runKey(run.config, { ...files, digest: read });
    if (key !== run.key)
      throw new DataError(`${name}: what it reads was changed since the study began; begin it again`);
  } else read(model, decidesModel);
  for (const evaluation of evaluations) {
    const { data, benchmark } = evaluation;
    const isFile = isAbsolute(benchmark);
    if (data === undefined && !isFile) {
      throw new ConfigError(
        `evaluations: ${evaluation.name} names no data; with --queue give it a data of its own, to whose ` +
          `contents workers are held`,
      );
    }
    for (const path of [data, isFile ? benchmark : undefined]) if (path !== undefined) read(path);
  }
  const { source, versions } = code;
  return {
    study,
    name,
    run: run && { arm: run.arm, seed: run.seed, key: run.key, config: plainConfig(run.config) },
    model: named(model),
    evaluations: JSON.parse(
      JSON.stringify(evaluations.map(({ data, ...rest }) => ({ ...rest, data: data && named(data) }))),
    ),
    until,
    inputs: [...inputs.values()],
    code: { source, versions },
  };
}

/** A path, or the name on the hub that every machine's cache has it by. */
function named(path: string): string {
  return hubName(path) ?? path;
}

/** By what the queue knows a job: equal for equal runs of one study. */
export function idOf({ study, name, run }: QueuedJob): string {
  return digestJson([study, name, run?.key ?? null]);
}

/** The folders, and the log, that a job writes, relative to its study's folder. */
export function placesOf(job: Asked): string[] {
  return [...foldersOf(job), logFileOf(job.name)];
}

/** The folders alone. */
export function foldersOf({ name, run, evaluations }: Asked): string[] {
  const own = evaluations.map((evaluation) => evaluationFolderOf(evaluation.name, name));
  return run ? [runFolderOf(name), ...own] : own;
}

/** What is asked for, by the study or in the queue. */
interface Asked {
  readonly name: string;
  readonly run: object | null;
  readonly evaluations: readonly { readonly name: string }[];
}

/** How a job ends that no command has failed with. */
export function failedBy(error: string, at = new Date()): Outcome {
  const failure = { error, at: at.toISOString(), command: [], exit_code: null, signal: null };
  return { status: 'failed', failure };
}

/** Set for a job whose study wants it to end. */
export const stopKeyOf = (job: string): string => `flex:stop:${job}`;
/** Why workers refuse a job: a set of lines. */
export const refusalsKeyOf = (job: string): string => `flex:refusals:${job}`;
