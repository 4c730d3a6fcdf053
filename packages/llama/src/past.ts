import { causalSoftmax, concat, type RopeTables, rope, type Tensor } from '@flex/tensor';
import type { LlamaConfig } from './config.ts';

/** A layer's keys and values: f32 [b·kv heads, tokens, d]. */
export interface KeysAndValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What the tokens of a forward pass stand on: their positions, and the tokens before them. */
export interface Past {
  /** Turns queries or keys by their positions. f32 [b, t, h, d] → the same. */
  rotate(x: Tensor): Tensor;
  /** Takes a layer's new keys and values, [b·kv, t, d]; gives those of all its tokens, [b·kv, s, d]. */
  extend(layer: number, fresh: KeysAndValues): KeysAndValues;
  /** softmax(scores/√d) over the tokens a query may see, 0 elsewhere. f32 [b·kv, group·t, s] → the same. */
  weigh(scores: Tensor): Tensor;
}

/** Added to the score of a token that is not to be seen: its weight is 0, and it changes no other. */
export const unseenScore = -1e30;

/** Keys and values of the tokens so far, the same number in every row. */
export interface KvCache {
  readonly tokens: number;
  readonly layers: readonly KeysAndValues[];
}

/** What positions are to a model. */
export interface RotaryModel {
  readonly config: LlamaConfig;
  /** Rotary tables for at least `positions` tokens. Throws DataError beyond the model's context. */
  rope(positions: number): RopeTables;
}

/**
 * The past of t further tokens in each row of a cache, each of which sees those up to itself. `cache()` is
 * the one they leave. Throws DataError beyond the model's context.
 */
export function causalPast(
  model: RotaryModel,
  t: number,
  before: KvCache = { tokens: 0, layers: [] },
): Past & { cache(): KvCache } {
  const offset = before.tokens;
  const tokens = offset + t;
  const tables = model.rope(tokens);
  const layers: KeysAndValues[] = [];
  return {
    rotate: (x) => rope(x, tables, offset),
    extend(layer, fresh) {
      const old = before.layers[layer];
      layers[layer] = old ? { k: concat([old.k, fresh.k], 1), v: concat([old.v, fresh.v], 1) } : fresh;
      return layers[layer];
    },
    weigh: (scores) =>
      causalSoftmax(scores, { scale: 1 / Math.sqrt(model.config.headDim), queries: t, offset }),
    cache: () => ({ tokens, layers }),
  };
}
