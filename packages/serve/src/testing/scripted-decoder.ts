import { setTimeout as wait } from 'node:timers/promises';
import type { Decoder, GenerateRequest } from '@flex/llama';

/** A decoder without a model, whose every text is as long as it may be and made of one piece. */
export interface ScriptedDecoder extends Decoder {
  /** The requests whose texts have begun, in their order. */
  readonly begun: readonly GenerateRequest[];
  /** Texts that have a slot, and that wait for one. */
  readonly busy: number;
  readonly waiting: number;
}

export interface Script {
  readonly slots: number;
  readonly piece?: string;
  /** Milliseconds that a piece takes. */
  readonly interval?: number;
}

export function scriptedDecoder({ slots, piece = 'x', interval = 1 }: Script): ScriptedDecoder {
  const begun: GenerateRequest[] = [];
  const turns: (() => void)[] = [];
  let busy = 0;
  const write = async (
    { maxNewTokens }: GenerateRequest,
    { onText, signal }: NonNullable<Parameters<Decoder['submit']>[1]>,
  ) => {
    const ids: number[] = [];
    while (ids.length < maxNewTokens) {
      await wait(interval);
      signal?.throwIfAborted();
      ids.push(0);
      onText?.(piece);
    }
    return { ids, text: piece.repeat(ids.length), finish: 'length' as const };
  };
  return {
    begun,
    get busy() {
      return busy;
    },
    get waiting() {
      return turns.length;
    },
    async submit(request, options = {}) {
      if (busy === slots) await new Promise<void>((turn) => turns.push(turn));
      busy++;
      try {
        options.signal?.throwIfAborted();
        begun.push(request);
        return await write(request, options);
      } finally {
        busy--;
        turns.shift()?.();
      }
    },
    async close() {},
  };
}
