import { concat, neg, scope, split, type Tensor } from '@flex/tensor';
import type { AdapterPair, Adapters } from './adapters.ts';
import type { LoraConfig } from './lora.ts';

/** Pairs and what they mean. */
export interface ConfiguredAdapters {
  readonly params: Map<string, AdapterPair>;
  readonly config: LoraConfig;
}

/**
 * The adapter of twice the rank that does to the whole model what `params` does to one that `removed` was
 * taken out of: W − s·B₀·A₀ + s·B·A = W + s·[B, −B₀]·[A; A₀]. PEFT's conversion, and as exact.
 */
export function plainAdapter(params: Adapters, removed: Adapters, config: LoraConfig): ConfiguredAdapters {
  const pairs = [...params].map(([path, { a, b, ...vectors }]): [string, AdapterPair] => {
    const { a: a0, b: b0 } = removed.get(path)!;
    const pair = scope(() => ({ a: concat([a, a0], 0), b: concat([b, neg(b0)], 1) }));
    return [path, { ...pair, ...vectors }];
  });
  return { params: new Map(pairs), config: plainConfig(config) };
}

/** The pairs that `plainAdapter` made twice as wide. */
export function trainedHalf(params: Adapters): Map<string, AdapterPair> {
  const half = (t: Tensor, axis: 0 | 1) => split(t, [t.shape[axis] / 2, t.shape[axis] / 2], axis)[0];
  const pairs = [...params].map(([path, { a, b, ...vectors }]): [string, AdapterPair] => {
    const pair = scope(() => ({ a: half(a, 0), b: half(b, 1) }));
    return [path, { ...pair, ...vectors }];
  });
  return new Map(pairs);
}

/** Ranks twice as large, and alphas that keep the scale as it is. */
function plainConfig(config: LoraConfig): LoraConfig {
  const { rank, alpha, scaling, rankPattern = {}, alphaPattern = {} } = config;
  const factor = { 'alpha/r': 2, 'alpha/sqrt(r)': Math.SQRT2, alpha: 1 }[scaling];
  const times = (pattern: Readonly<Record<string, number>>, by: number) =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, by * value]));
  return {
    ...config,
    rank: 2 * rank,
    alpha: factor * alpha,
    rankPattern: times(rankPattern, 2),
    alphaPattern: times(alphaPattern, factor),
    init: 'kaiming',
  };
}
