import { ConfigError } from '@flex/base';
import {
  addScaled,
  type Backend,
  dropout,
  matmul,
  scope,
  type Tensor,
  tensor,
  uniform,
  zeros,
} from '@flex/tensor';
import { patternMatcher } from './adapter-names.ts';
import type { AdapterPair, Adapters } from './adapters.ts';
import type { LinearSize, Linears, Targets } from './targets.ts';

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

/** A config and what it says of each module of one adapter: made once a run. */
export interface ResolvedLora {
  readonly config: LoraConfig;
  /** s, and the module's index in the adapter, which keys its dropout masks. */
  readonly modules: ReadonlyMap<string, { readonly scale: number; readonly index: number }>;
}

export function resolveLora(config: LoraConfig, adapters: Adapters): ResolvedLora {
  const module = (path: string, index: number) => [path, { scale: scaleOf(config, path), index }] as const;
  return { config, modules: new Map([...adapters.keys()].map(module)) };
}

/**
 * A fresh adapter for the linear layers in `targets`: a f32 [r, in] uniform in ±1/√in (Kaiming, a = √5), b
 * f32 [out, r] zero. The numbers depend on the seed and the module's index among the targets.
 */
export function initLora(
  backend: Backend,
  config: LoraConfig,
  targets: Linears,
  seed: number,
): Map<string, AdapterPair> {
  const fresh = (path: string, size: LinearSize, index: number): AdapterPair => {
    const rank = rankOf(config, path);
    const bound = 1 / Math.sqrt(size.in);
    const unit = uniform(rank * size.in, { key: [seed, initStream], counter: [0, index] });
    const a = unit.map((u) => (2 * u - 1) * bound);
    return { a: tensor(backend, a, [rank, size.in]), b: zeros(backend, [size.out, rank]) };
  };
  return new Map([...targets].map(([path, size], index) => [path, fresh(path, size, index)]));
}

/**
 * y = linear(x) + s·(dropout(x)·aᵀ)·bᵀ on the layers that `adapters` has, linear(x) on the others; x f32
 * [.., in]. Drops only where `dropoutState` is given. With b = 0 it is linear(x), bit for bit. Throws
 * ConfigError for a module that `lora` was not resolved for.
 * Source: Hu et al., LoRA, 2021.
 */
export function withLora(
  linear: Linear,
  adapters: Adapters,
  lora: ResolvedLora,
  dropoutState?: DropoutState,
): Linear {
  const rate = lora.config.dropout;
  return (x, path) => {
    const pair = adapters.get(path);
    if (!pair) return linear(x, path);
    const { scale, index } = moduleOf(lora, path);
    return scope(() => {
      const input =
        dropoutState && rate > 0
          ? dropout(x, {
              rate,
              key: [dropoutState.seed, dropoutStream],
              counter: [dropoutState.step, index],
            })
          : x;
      const inner = matmul(input, pair.a, { transposeB: true });
      return addScaled(linear(x, path), matmul(inner, pair.b, { transposeB: true }), scale);
    });
  };
}

/** A module's scale and index. Throws ConfigError when it was not resolved. */
export function moduleOf({ modules }: ResolvedLora, path: string): { scale: number; index: number } {
  const found = modules.get(path);
  if (!found) throw new ConfigError(`lora: ${path} is none of the modules that it was resolved for`);
  return found;
}
