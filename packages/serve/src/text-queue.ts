import { ApiError } from './api-error.ts';

/** The texts that a server continues, of all requests together. */
export interface TextQueue {
  /** Texts that were taken and have not ended. */
  readonly size: number;
  /** Throws ApiError 400 where one request asks for more texts than could ever wait. */
  requireRoom(texts: number): void;
  /**
   * Does the tasks of one request, each of which continues a text: as many at the same time as there are
   * slots, so that a request of many texts and one of few get their turns alike. Gives the results in order,
   * and rejects at the first that rejects; the others are then to be aborted. Throws ApiError where more
   * would wait than may: 429, or 400 where they never could.
   */
  run<T>(tasks: readonly (() => Promise<T>)[]): Promise<readonly T[]>;
}

export interface TextQueueOptions {
  readonly slots: number;
  /** Texts that may wait for a slot. */
  readonly waiting: number;
}

/** An empty queue. */
export function newTextQueue({ slots, waiting }: TextQueueOptions): TextQueue {
  const most = slots + waiting;
  let size = 0;
  const requireRoom = (texts: number): void => {
    if (texts > most)
      throw new ApiError(400, `a request may ask for ${most} texts at once, and this one asks for ${texts}`);
  };
  return {
    get size() {
      return size;
    },
    requireRoom,
    async run(tasks) {
      requireRoom(tasks.length);
      if (size + tasks.length > most) {
        const words = `${size} texts are being continued or wait, and ${tasks.length} more are too many`;
        throw new ApiError(429, words, { code: 'queue_full', headers: { 'Retry-After': '1' } });
      }
      size += tasks.length;
      let left = tasks.length;
      const release = (texts: number) => {
        size -= texts;
        left -= texts;
      };
      const results: Awaited<ReturnType<(typeof tasks)[number]>>[] = [];
      const todo = tasks.entries();
      const work = async () => {
        for (const [index, task] of todo) {
          results[index] = await task();
          if (left > 0) release(1);
        }
      };
      try {
        await Promise.all(Array.from({ length: slots }, work));
        return results;
      } finally {
        release(left);
      }
    },
  };
}
