import { attention, type Backend, rope, type Tensor, tensor } from '@flex/tensor';
import type { ModelConfig } from './config.ts';
import type { Rotary } from './rotary-tables.ts';

/** A layer's keys and values: [b, tokens, kv heads, d]. */
export interface KeysAndValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** What the tokens of a forward pass stand on: their positions, and the tokens before them. */
export interface Past {
  /** Turns queries or keys by their positions. f32 [b, t, h, d] → the same. */
  rotate(x: Tensor): Tensor;
  /**
   * Takes a layer's new keys and values, f32 [b, t, kv, d]; gives those of all its tokens, f32 or f16 [b, s,
   * kv, d].
   */
  extend(layer: number, fresh: KeysAndValues): KeysAndValues;
  /**
   * The values that a layer's queries see, weighed by softmax(q·kᵀ/√d). q f32 [b, t, h, d], k and v [b, s,
   * kv, d] → as q.
   */
  attend(layer: number, q: Tensor, kv: KeysAndValues): Tensor;
}

/** What positions are to a model. */
export interface RotaryModel extends Rotary {
  readonly backend: Backend;
  readonly config: ModelConfig;
}

/** The part of their texts that tokens are. */
export interface PartOfText {
  /** The place of the first of them in its text; 0 if left out. */
  readonly from?: number;
  /** Tokens of the whole text; those up to the end of the part if left out. */
  readonly length?: number;
}

/**
 * The past of b rows of t tokens that see those up to themselves. Where they are not the first of their text,
 * `extend` is to give the keys and values of those before them too.
 */
export function causalPast(
  model: RotaryModel,
  [b, t]: readonly [b: number, t: number],
  { from = 0, length = from + t }: PartOfText = {},
): Past {
  const places = Int32Array.from({ length: t }, (_, i) => from + i);
  const tables = length === t ? model.rope(t) : model.ropeAt(places, new Int32Array(t).fill(length));
  const { windows } = model.config;
  const whole = windows.every((window) => window === null || window >= length);
  return {
    rotate: (x) => rope(x, tables),
    extend: (_, fresh) => fresh,
    attend: whole ? attend(model, from) : attendWithin(model, [b, t], (i) => [0, from + (i % t)]),
  };
}

/** Attention where query i sees the keys up to offset + i. */
function attend({ config }: RotaryModel, offset: number): Past['attend'] {
  const scale = 1 / Math.sqrt(config.headDim);
  return (_, q, { k, v }) => attention(q, k, v, { scale, offset });
}

/**
 * Attention where `range` says of each of the b·t queries which keys it sees, the first and the last: in a
 * layer with a window, by default one of a whole text, the last so many of them.
 */
export function attendWithin(
  { backend, config }: RotaryModel,
  [b, t]: readonly [b: number, t: number],
  range: (query: number) => readonly [first: number, last: number],
  windows: ModelConfig['windows'] = config.windows,
): Past['attend'] {
  const scale = 1 / Math.sqrt(config.headDim);
  const seenIn = (window: number | null): Tensor => {
    const seen = new Int32Array(2 * b * t);
    for (let i = 0; i < b * t; i++) {
      const [first, last] = range(i);
      seen[2 * i] = window === null ? first : Math.max(first, last - window + 1);
      seen[2 * i + 1] = last;
    }
    return tensor(backend, seen, [b, t, 2], 'i32');
  };
  const seen = new Map([...new Set(windows)].map((window) => [window, seenIn(window)]));
  return (layer, q, { k, v }) => attention(q, k, v, { scale, seen: seen.get(windows[layer]) });
}
