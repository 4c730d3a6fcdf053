import * as z from 'zod';
import type { Architecture } from './family.ts';
import { count } from './rules.ts';

/** Every layer sees all tokens, or all of them the last `window`. */
export const sameWindows = (layers: number, window: number | null): Architecture['windows'] =>
  Array(layers).fill(window);

/** `layer_types` of families whose layers all have the same window. */
export const noLayerTypes = z.null('must be absent: this family has one window for all layers').optional();

const layerTypes = ['full_attention', 'sliding_attention'] as const;
const layerType = z.enum(layerTypes, `must be ${layerTypes.join(' or ')}: others are not supported`);

/** The keys by which Qwen's families say which of their layers have a window. */
export const qwenWindowKeys = {
  use_sliding_window: z.boolean().default(false),
  sliding_window: count.nullable().default(4096),
  max_window_layers: z.int('must be a whole number').default(28),
  layer_types: z.array(layerType).nullish(),
};

interface QwenWindows extends z.infer<z.ZodObject<typeof qwenWindowKeys>> {
  readonly num_hidden_layers: number;
}

/** Windows of the layers that `layer_types` names, or else of those from max_window_layers on. */
export function qwenWindows(json: QwenWindows): Architecture['windows'] {
  const { num_hidden_layers: layers, layer_types: types } = json;
  const window = json.use_sliding_window ? json.sliding_window : null;
  return Array.from({ length: layers }, (_, i) => {
    const slides = types ? types[i] === 'sliding_attention' : i >= json.max_window_layers;
    return slides ? window : null;
  });
}

/** Refuses layer_types that transformers refuses. */
export function checkLayerTypes(json: QwenWindows, context: z.RefinementCtx): void {
  const { layer_types: types, num_hidden_layers: layers } = json;
  const window = json.use_sliding_window ? json.sliding_window : null;
  const fail = (message: string) => context.addIssue({ code: 'custom', path: ['layer_types'], message });
  if (!types) return;
  if (types.length !== layers) fail(`must have one for each of the ${layers} layers`);
  if (window === null && types.includes('sliding_attention'))
    fail(
      'must be full_attention alone where use_sliding_window or sliding_window does not say how far they slide',
    );
}
