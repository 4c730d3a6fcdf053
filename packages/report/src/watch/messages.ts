// What the server tells the page, as server-sent events.

import type { ArmRecord, JobState } from '@flex/study';

/** An event: what has changed since the one before, all of it at first. */
export interface Update {
  readonly header?: Header;
  /** Rows that are new or other than before, by their run's name. */
  readonly rows?: readonly RunRow[];
  readonly curves?: readonly CurvePart[];
}

/** What is watched. */
export interface Header {
  readonly kind: 'run' | 'study';
  /** The study's, else the folder's name. */
  readonly title: string;
  /** The folder, as it was given. */
  readonly folder: string;
  /** Of a study. */
  readonly arms: readonly ArmRecord[];
  /** Names of the runs, in order. */
  readonly runs: readonly string[];
  /** What metrics.jsonl has curves of, the usual ones first; held-out losses are `eval.SET`. */
  readonly columns: readonly string[];
  /** Those that are told where a page asks for none. */
  readonly usual: readonly string[];
  /** Runs whose lines have been read to their end once; below their number, curves are not whole yet. */
  readonly read: number;
  /** What is wrong with the folder, in one line; what is shown is then how it was before. */
  readonly problem: string | null;
  /** Digest of the page's files: a page of another one loads itself again. */
  readonly page: string;
}

/** `begun` may go on elsewhere; `running` is one that a process of this machine writes. */
export type RunState = JobState | 'running';

/** A run as the table has it. */
export interface RunRow {
  readonly name: string;
  /** Of a study. */
  readonly arm: string | null;
  readonly seed: number | null;
  readonly state: RunState;
  /** Updates done, and of the whole run; null where that is not known yet. */
  readonly step: number;
  readonly steps: number | null;
  /** Of the last update, nats a token. */
  readonly loss: number | null;
  /** The last losses by held-out set, nats a token, and after which update. */
  readonly heldOut: Readonly<Record<string, number | null>>;
  readonly heldOutStep: number | null;
  /** Wall time of the updates. */
  readonly seconds: number;
  readonly tokensPerSecond: number | null;
  /** When metrics.jsonl was last written to, milliseconds since 1970. */
  readonly written: number | null;
  /** What went wrong, in one line, or what the run's lines warn of. */
  readonly words: string | null;
}

/** Points of a curve from a place on: those before are as they were sent, and there are none behind. */
export interface CurvePart extends Points {
  readonly run: string;
  readonly column: string;
  readonly from: number;
  /** Values that a point is the mean of. */
  readonly width: number;
}

/** Points of a curve: update, and mean, least and greatest of `width` values; null where one is not finite. */
export interface Points {
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
  /** Left out where a point is one value. */
  readonly low?: readonly (number | null)[];
  readonly high?: readonly (number | null)[];
}
