import { setTimeout } from 'node:timers/promises';
import { HubError, PassingError } from './hub-error.ts';

/** How failures that may pass are met. */
export interface Patience {
  /** Failures in a row, with nothing got between them, after which one gives up. */
  readonly tries: number;
  /** Seconds before the second try; before each further one twice as long. */
  readonly pause: number;
  /** Seconds of silence after which a connection counts as broken. */
  readonly silence: number;
}

export const patience: Patience = { tries: 5, pause: 1, silence: 30 };

/** Whose patience it is. */
export interface Patient {
  readonly patience: Patience;
  /** Aborted: the try and the pause end. */
  readonly signal?: AbortSignal;
  /** Told of each failure that another try follows, in a line. */
  readonly note?: (line: string) => void;
}

/** Seconds that a server may ask to be left alone; for longer nobody waits. */
const longestPause = 60;

/**
 * The result of the first try that gives one. After a PassingError there is another, up to `tries` without
 * `progress`, a number that grows as something is got. Throws HubError for the last of them, what else a try
 * throws, and the signal's reason.
 */
export async function retry<T>(
  { patience: { tries, pause }, signal, note }: Patient,
  { attempt, progress = () => 0 }: { attempt: () => Promise<T>; progress?: () => number },
): Promise<T> {
  let before = progress();
  for (let failed = 1; ; failed++) {
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PassingError)) throw error;
      const now = progress();
      if (now > before) failed = 1;
      before = now;
      const seconds = error.after ?? pause * 2 ** (failed - 1);
      if (failed >= tries || seconds > longestPause) {
        const times = failed === 1 ? 'once' : `${failed} times in a row`;
        throw new HubError(`${error.message}, ${times}; the same command goes on where it ended`, {
          cause: error,
        });
      }
      note?.(`${error.message}; trying again in ${Math.ceil(seconds)} s`);
      await setTimeout(1000 * seconds, undefined, { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}
