import { appendLine, type MetricsLine, readMetrics } from './metrics-log.ts';

/** The name of the file in a run's folder. */
export const heldOutFile = 'held-out.jsonl';

/** The loss of an example. */
export interface ExampleLoss {
  /** Its row's place in the source: the number of the line, or the name of a folder of APPS. */
  readonly row: string;
  /** Scored tokens. */
  readonly tokens: number;
  /** Σ −ln p over them, nats. */
  readonly loss: number;
}

/** A line of held-out.jsonl: an evaluation of a set, an example at the same place in each of the lists. */
export interface HeldOutLine extends MetricsLine {
  readonly set: string;
  /** Σ losses / Σ tokens: nats a token, as in metrics.jsonl. */
  readonly loss: number;
  readonly rows: readonly string[];
  readonly tokens: readonly number[];
  /** With 8 digits. */
  readonly losses: readonly number[];
}

/** Appends an evaluation of a set after update `step`. */
export function appendHeldOut(
  path: string,
  step: number,
  set: string,
  loss: number,
  examples: readonly ExampleLoss[],
): void {
  const line: HeldOutLine = {
    step,
    set,
    loss,
    rows: examples.map(({ row }) => row),
    tokens: examples.map(({ tokens }) => tokens),
    losses: examples.map(({ loss }) => Number(loss.toPrecision(8))),
  };
  appendLine(path, line);
}

/** The lines of a held-out.jsonl. Throws DataError. */
export function readHeldOut(path: string): HeldOutLine[] {
  return readMetrics(path) as HeldOutLine[];
}

/** The place in a source of what stands at `where`: `12` of `tasks.jsonl:12`, `0001` of `apps/0001`. */
export const placeIn = (source: string, where: string): string =>
  where.startsWith(source) ? where.slice(source.length).replace(/^[:/\\]/, '') : where;
