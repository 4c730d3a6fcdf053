import type { Slots } from '../slots.ts';

/** A model whose logits are a formula of the tokens so far; that of fixtures/decoding/make.py. */
export interface Table {
  readonly seed: number;
  readonly vocabulary: number;
  readonly scale?: number;
}

/** The logits after these tokens, f32 [vocabulary]. */
export function tableLogits({ seed, vocabulary, scale = 3 }: Table, ids: readonly number[]): Float32Array {
  const state = ids.reduce((sum, id) => (31 * sum + id + 7) % 10007, seed);
  return Float32Array.from({ length: vocabulary }, (_, v) => scale * Math.sin(0.37 * state + 1.93 * v));
}

/** Slots of a model whose logits are a function of the tokens so far. */
export function tableSlots(
  logitsOf: (ids: readonly number[]) => ArrayLike<number>,
): Pick<Slots, 'fill' | 'step' | 'reorder'> {
  let texts: (readonly number[])[] = [];
  const logits = (slot: number) => Float32Array.from(logitsOf(texts[slot]));
  return {
    async fill(slot, prompt) {
      texts[slot] = prompt;
      return logits(slot);
    },
    async step(tokens) {
      for (const [slot, token] of tokens) texts[slot] = [...texts[slot], token];
      return new Map([...tokens.keys()].map((slot) => [slot, logits(slot)]));
    },
    reorder(from) {
      texts = from.map((slot) => texts[slot]);
    },
  };
}
