import { z } from 'zod';
import type { StudyEvaluation } from './load-study.ts';
import type { PlannedRun } from './plan-study.ts';

/** What a study does at most once: a run with its evaluations, or the evaluations of the base model. */
export interface Job {
  /** That of its run, or `base-model`. */
  readonly name: string;
  /** The study's folder, absolute. */
  readonly folder: string;
  /** Null for the base model. */
  readonly run: PlannedRun | null;
  /** The model that is evaluated. */
  readonly model: string;
  readonly evaluations: readonly StudyEvaluation[];
  /** Updates after which its run waits to be compared with others; left out: it goes to its end. */
  readonly until?: number;
}

/** How a job ended. */
export type Outcome =
  | { readonly status: 'done' }
  /** Stopped as it was asked to be; what is done is kept. */
  | { readonly status: 'interrupted' }
  | { readonly status: 'failed'; readonly failure: Failure };

/** Why a job failed, as its study keeps it. */
export interface Failure {
  /** One line. */
  readonly error: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** What was run when it failed. */
  readonly command: readonly string[];
  /** Of the command; null where a signal ended it. */
  readonly exit_code: number | null;
  readonly signal: string | null;
}

/** `Failure` as it is read back. */
export const failureSchema = z.object({
  error: z.string(),
  at: z.iso.datetime(),
  command: z.array(z.string()),
  exit_code: z.int().nullable(),
  signal: z.string().nullable(),
}) satisfies z.ZodType<Failure>;

/**
 * Does jobs somewhere: in processes of this machine, or on others. A job whose run is there in part goes on
 * from it, and what is done of it is left alone. When it is done, the study's folder has all that it made.
 */
export interface Launcher {
  /** Jobs at once. */
  readonly lanes: number;
  /** Never rejects for what goes wrong with the job, but for what stops the study. */
  run(
    job: Job,
    options: { readonly signal: AbortSignal; readonly onProgress: (line: Progress) => void },
  ): Promise<Outcome>;
}

/** How far a job is. */
export interface Progress {
  /** `train`, the name of an evaluation, or `waits` while another process still writes what is to be written. */
  readonly stage: string;
  /** Updates, of so many; null for what does not tell. */
  readonly updates: { readonly done: number; readonly of: number } | null;
}
