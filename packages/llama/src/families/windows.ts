import * as z from 'zod';
import type { Architecture } from './family.ts';
import { count } from './rules.ts';

type Windows = Pick<Architecture, 'windows' | 'cachedWindows'>;

/** transformers' cache keeps the last window − 1 tokens of a layer, and all of them where that is 0. */
const cached = (windows: Architecture['windows']) => windows.map((window) => (window === 1 ? null : window));

/** Every layer sees all tokens, or all of them the last `window`. */
export function sameWindows(layers: number, window: number | null): Windows {
  const windows = Array<number | null>(layers).fill(window);
  return { windows, cachedWindows: cached(windows) };
}

/** `layer_types` of families whose layers all have the same window. */
export const noLayerTypes = z.null('must be absent: this family has one window for all layers').optional();

const layerTypes = ['full_attention', 'sliding_attention'] as const;
const layerType = z.enum(layerTypes, `must be ${layerTypes.join(' or ')}: others are not supported`);

/** Keys of a window that families without any read for their cache alone. */
export const cacheWindowKeys = {
  sliding_window: count.nullish(),
  layer_types: z.array(layerType).nullish(),
};

interface CacheWindows extends z.infer<z.ZodObject<typeof cacheWindowKeys>> {
  readonly num_hidden_layers: number;
}

/** Every layer sees all tokens; transformers' cache, which is no family's own, keeps those of the window. */
export function cacheWindows(json: CacheWindows): Windows {
  const { num_hidden_layers: layers, layer_types: types, sliding_window: window = null } = json;
  const slides = (i: number) => !types || types[i] === 'sliding_attention';
  const kept = Array.from({ length: layers }, (_, i) => (slides(i) ? window : null));
  return { windows: Array(layers).fill(null), cachedWindows: cached(kept) };
}

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
export function qwenWindows(json: QwenWindows): Windows {
  const { num_hidden_layers: layers, layer_types: types } = json;
  const window = json.use_sliding_window ? json.sliding_window : null;
  const windows = Array.from({ length: layers }, (_, i) => {
    const slides = types ? types[i] === 'sliding_attention' : i >= json.max_window_layers;
    return slides ? window : null;
  });
  return { windows, cachedWindows: cached(windows) };
}

/** Refuses layer_types that transformers refuses. */
export function checkLayerTypes(
  json: CacheWindows & { readonly use_sliding_window?: boolean },
  context: z.RefinementCtx,
): void {
  const { layer_types: types, num_hidden_layers: layers, use_sliding_window: slide = true } = json;
  const window = slide ? (json.sliding_window ?? null) : null;
  const fail = (message: string) => context.addIssue({ code: 'custom', path: ['layer_types'], message });
  if (!types) return;
  if (types.length !== layers) fail(`must have one for each of the ${layers} layers`);
  if (window === null && types.includes('sliding_attention'))
    fail('must be full_attention alone where no sliding_window is in use');
}
