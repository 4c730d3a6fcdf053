import { type Backend, empty, type Shape, type Tensor } from '@flex/tensor';
import type { AdapterPair, AdapterWeights } from './adapters.ts';
import { type FreshAdapter, requireInit } from './init-lora.ts';
import { decomposes, type LoraConfig, rankOf } from './lora.ts';
import type { Linears } from './targets.ts';
import { checkedWholeShapes, type WeightShapes } from './whole-weights.ts';

/**
 * What `initAdapter` and `initWhole` make, with any numbers in it: for plans. Throws ConfigError for what they
 * refuse whatever the numbers in the weights are.
 */
export function emptyAdapter(
  { backend, weights }: { readonly backend: Backend; readonly weights: WeightShapes },
  config: LoraConfig,
  targets: Linears,
): FreshAdapter & AdapterWeights {
  requireInit(config, targets);
  const shapes = checkedWholeShapes(config, weights, [...targets.keys()]);
  const fresh = (shape: Shape): Tensor => empty(backend, { shape, dtype: 'f32' });
  const pairs = () =>
    [...targets].map(([path, size]): [string, AdapterPair] => {
      const rank = rankOf(config, path);
      return [path, { a: fresh([rank, size.in]), b: fresh([size.out, rank]) }];
    });
  const vectors = (out: number) => ({
    ...(config.loraBias && { bias: fresh([out]) }),
    ...(config.dora && { magnitude: fresh([out]) }),
  });
  return {
    params: new Map(pairs().map(([path, pair]) => [path, { ...pair, ...vectors(targets.get(path)!.out) }])),
    removed: decomposes(config.init) ? new Map(pairs()) : null,
    whole: new Map([...shapes].map(([name, shape]) => [name, fresh(shape)])),
  };
}
