import { ConfigError } from '@flex/base';
import { add, concat, mul, pad, scope, type Tensor } from '@flex/tensor';
import type { Adapter } from './adapter-file.ts';
import type { AdapterPair } from './adapters.ts';
import { scaleOf } from './lora.ts';
import type { ConfiguredAdapters } from './plain-adapter.ts';

/** An adapter in a sum, and its factor there, which may be negative. */
export interface WeightedAdapter {
  readonly adapter: Pick<Adapter, 'params' | 'whole' | 'config'>;
  readonly weight: number;
}

/**
 * One adapter for Σ wᵢ·sᵢ·Bᵢ·Aᵢ on every layer that one of the adapters has, with the scale 1. PEFT's
 * `add_weighted_adapter`:
 *
 * - `cat`: exactly that sum. A = [wᵢ·sᵢ·Aᵢ] above each other, B = [Bᵢ] side by side; its rank is the sum of the
 *   largest ranks, with zeros where a layer has fewer.
 * - `linear`: A = Σ ±√|wᵢ·sᵢ|·Aᵢ and B = Σ √|wᵢ·sᵢ|·Bᵢ, the sign being that of wᵢ: an approximation of the same
 *   rank, whose product has every Bᵢ·Aⱼ in it.
 *
 * Throws ConfigError for no adapters, for `linear` with ranks that differ, and for adapters that are more than
 * W + s·B·A: DoRA, a bias of B, weights and rows trained whole.
 */
export function combineAdapters(
  adapters: readonly WeightedAdapter[],
  combination: 'cat' | 'linear' = 'cat',
): ConfiguredAdapters {
  for (const [i, { adapter }] of adapters.entries()) checkSummable(adapter, i + 1);
  const ranks = adapters.map(({ adapter }) =>
    Math.max(...[...adapter.params.values()].map(({ a }) => a.shape[0])),
  );
  if (ranks.length === 0) throw new ConfigError('adapters: a sum needs at least one');
  if (combination === 'linear' && new Set(ranks).size > 1)
    throw new ConfigError(`adapters: linear needs equal ranks, they are ${ranks.join(', ')}; take cat`);
  const rank = combination === 'linear' ? ranks[0] : ranks.reduce((sum, r) => sum + r);
  const paths = new Set(adapters.flatMap(({ adapter }) => [...adapter.params.keys()]));
  const terms = (path: string): Term[] =>
    adapters.flatMap(({ adapter: { params, config }, weight }) => {
      const pair = params.get(path);
      return pair ? [{ pair, factor: weight * scaleOf(config, path) }] : [];
    });
  const sum = combination === 'linear' ? sumOfFactors : sideBySide;
  const params = scope(() => new Map([...paths].map((path) => [path, sum(terms(path), rank)])));
  const config = { rank, alpha: rank, dropout: 0, targets: [...paths], scaling: 'alpha/r' } as const;
  return { params, config };
}

/** A layer's pair in one of the adapters, and w·s. */
interface Term {
  readonly pair: AdapterPair;
  readonly factor: number;
}

function sideBySide(terms: readonly Term[], rank: number): AdapterPair {
  const a = concat(
    terms.map(({ pair, factor }) => mul(pair.a, factor)),
    0,
  );
  const b = concat(
    terms.map(({ pair }) => pair.b),
    1,
  );
  return padded(a, b, rank);
}

function sumOfFactors(terms: readonly Term[], rank: number): AdapterPair {
  const total = (xs: readonly Tensor[]) => xs.reduce((x, y) => add(x, y));
  const root = (factor: number) => Math.sqrt(Math.abs(factor));
  const wide = terms.map(({ pair: { a, b }, factor }) => ({ ...padded(a, b, rank), factor }));
  return {
    a: total(wide.map(({ a, factor }) => mul(a, Math.sign(factor) * root(factor)))),
    b: total(wide.map(({ b, factor }) => mul(b, root(factor)))),
  };
}

/** The pair with zeros up to a rank. */
function padded(a: Tensor, b: Tensor, rank: number): AdapterPair {
  const more = rank - a.shape[0];
  return more === 0 ? { a, b } : { a: pad(a, [0, 0], [more, 0]), b: pad(b, [0, 0], [0, more]) };
}

function checkSummable({ params, whole, config }: WeightedAdapter['adapter'], number: number): void {
  const more = [
    config.dora && 'DoRA',
    config.loraBias && 'a bias of B',
    whole.size > 0 && `${[...whole.keys()][0]}, which it replaces`,
    config.ensureWeightTying && 'a tied lm_head that follows the embedding',
  ].find((what) => what);
  if (more) throw new ConfigError(`adapter ${number} of the sum: has ${more}; only W + s·B·A can be summed`);
  if (params.size === 0) throw new ConfigError(`adapter ${number} of the sum: has no layers`);
}
