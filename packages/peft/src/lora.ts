import { ConfigError } from '@flex/base';
import { addScaled, type Backend, dropout, matmul, scope, type Tensor, tensor, uniform } from '@flex/tensor';
import { adapterName, parseAdapterName, patternMatcher } from './adapter-names.ts';
import type { Parameters } from './regularizer.ts';
import type { Linears, Targets } from './targets.ts';

/**
 * How an activation meets a weight: x f32 [.., in] → f32 [.., out]. `path` is the module's name in the
 * checkpoint, such as `model.layers.0.mlp.gate_proj`. The one seam between a model and an adapter.
 */
export type Linear = (x: Tensor, path: string) => Tensor;

export interface LoraConfig {
  /** r: the inner size of B·A. */
  readonly rank: number;
  readonly alpha: number;
  /** Share of the inputs of A that training drops, in [0, 1). */
  readonly dropout: number;
  readonly targets: Targets;
  /** s, the factor of B·A. */
  readonly scaling: 'alpha/r' | 'alpha' | 'alpha/sqrt(r)';
  /**
   * A rank of its own for the modules that a pattern matches (PEFT's rank_pattern); the first match counts.
   */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** The same for alpha. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
}

/** Which masks a forward pass in training draws. */
export interface DropoutState {
  /** Number of the forward pass: another for every batch, the same when a pass is recomputed. */
  readonly step: number;
  readonly seed: number;
}

// The second word of a random key says what is drawn, so that no two streams of a run meet.
const initStream = 0x10ad;
const dropoutStream = 0xd509;

/** The rank of a module's adapter. */
export function rankOf(config: LoraConfig, path: string): number {
  return matched(config.rankPattern, path) ?? config.rank;
}

/** s of a module: α/r, α or α/√r. */
export function scaleOf(config: LoraConfig, path: string): number {
  const alpha = matched(config.alphaPattern, path) ?? config.alpha;
  const rank = rankOf(config, path);
  if (config.scaling === 'alpha') return alpha;
  return alpha / (config.scaling === 'alpha/r' ? rank : Math.sqrt(rank));
}

function matched(patterns: Readonly<Record<string, number>> = {}, path: string): number | undefined {
  return Object.entries(patterns).find(([key]) => patternMatcher(key).test(path))?.[1];
}

/**
 * A fresh adapter for the linear layers in `targets`: A f32 [r, in] uniform in ±1/√in (Kaiming, a = √5), B
 * f32 [out, r] zero, in that order for each. The numbers depend on the seed and the module's place among
 * the targets.
 */
export function initLora(
  backend: Backend,
  config: LoraConfig,
  targets: Linears,
  seed: number,
): Map<string, Tensor> {
  const params = new Map<string, Tensor>();
  for (const [index, [path, size]] of [...targets].entries()) {
    const rank = rankOf(config, path);
    const bound = 1 / Math.sqrt(size.in);
    const unit = uniform(rank * size.in, { key: [seed, initStream], counter: [0, index] });
    params.set(
      adapterName(path, 'A'),
      tensor(
        backend,
        unit.map((u) => (2 * u - 1) * bound),
        [rank, size.in],
      ),
    );
    params.set(adapterName(path, 'B'), tensor(backend, new Float32Array(size.out * rank), [size.out, rank]));
  }
  return params;
}

/** A module's adapter, ready to use. */
interface Pair {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly scale: number;
  /** The module's place in the adapter, which keys its dropout masks. */
  readonly index: number;
}

/**
 * y = linear(x) + s·(dropout(x)·Aᵀ)·Bᵀ on the layers that `adapters` has, linear(x) on the others; x f32
 * [.., in]. Drops only where `dropoutState` is given. With B = 0 it is linear(x), bit for bit. Throws
 * ConfigError for an A without its B, a B without its A, and for names that are not an adapter's.
 * Source: Hu et al., LoRA, 2021.
 */
export function withLora(
  linear: Linear,
  adapters: Parameters,
  config: LoraConfig,
  dropoutState?: DropoutState,
): Linear {
  const pairs = pairsOf(adapters, config);
  const rate = config.dropout;
  return (x, path) => {
    const pair = pairs.get(path);
    if (!pair) return linear(x, path);
    return scope(() => {
      const input =
        dropoutState && rate > 0
          ? dropout(x, {
              rate,
              key: [dropoutState.seed, dropoutStream],
              counter: [dropoutState.step, pair.index],
            })
          : x;
      const inner = matmul(input, pair.a, { transposeB: true });
      return addScaled(linear(x, path), matmul(inner, pair.b, { transposeB: true }), pair.scale);
    });
  };
}

/** The adapters' A and B by module path. Throws ConfigError as `withLora` does. */
export function pairsOf(adapters: Parameters, config: LoraConfig): Map<string, Pair> {
  const pairs = new Map<string, Pair>();
  for (const name of adapters.keys()) {
    const parsed = parseAdapterName(name);
    if (!parsed) throw new ConfigError(`withLora: "${name}" is not the name of an adapter's tensor`);
    const { path } = parsed;
    if (pairs.has(path)) continue;
    const a = adapters.get(adapterName(path, 'A'));
    const b = adapters.get(adapterName(path, 'B'));
    if (!a || !b)
      throw new ConfigError(`withLora: ${path} has lora_${a ? 'A' : 'B'} but no lora_${a ? 'B' : 'A'}`);
    pairs.set(path, { a, b, scale: scaleOf(config, path), index: pairs.size });
  }
  return pairs;
}
