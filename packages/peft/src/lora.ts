import { ConfigError } from '@flex/base';
import {
  add,
  addScaled,
  type Backend,
  div,
  dropout,
  matmul,
  mul,
  reshape,
  scope,
  sub,
  type Tensor,
  tensor,
  uniform,
  zeros,
} from '@flex/tensor';
import { withoutRecorders } from '@flex/tensor/kernel';
import type { Limits } from './adapted-modules.ts';
import { patternMatcher } from './adapter-names.ts';
import type { AdapterPair, Adapters } from './adapters.ts';
import { adaptedNorms, rowSquares } from './dora.ts';
import type { LinearSize, Linears, Targets } from './targets.ts';

/**
 * How an activation meets a weight: x f32 [.., in] → f32 [.., out]. `path` is the module's name in the
 * checkpoint, such as `model.layers.0.mlp.gate_proj`. The one seam between a model and an adapter.
 */
export type Linear = (x: Tensor, path: string) => Tensor;

export interface LoraConfig extends Limits {
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
  /** DoRA: each row of the adapted weight has a norm of its own, m, which is trained as well. */
  readonly dora?: boolean;
  /** Whether B has a bias, which has the factor s too. */
  readonly loraBias?: boolean;
  /** Which biases of the model are trained; a Llama has none. */
  readonly bias?: 'none' | 'all' | 'lora_only';
  /** Where A and B start; see `initAdapter`. */
  readonly init?: LoraInit;
  /** Ends of the paths of modules that are trained whole, with all below them. */
  readonly modulesToSave?: readonly string[];
  /** Tokens whose rows are trained: of the embedding, or of each table named. */
  readonly trainableTokenIndices?: TokenIndices;
  /** Whether an lm_head that is tied to the embedding follows what is trained of it. */
  readonly ensureWeightTying?: boolean;
}

/** Ids of tokens of the embedding, or those of `embed_tokens` and of `lm_head`. */
export type TokenIndices = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** Where A and B start: PEFT's `init_lora_weights`, `kaiming` being its `true` and `random` its `false`. */
export type LoraInit = (typeof loraInits)[number];

export const loraInits = ['kaiming', 'random', 'gaussian', 'orthogonal', 'pissa', 'olora'] as const;

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

/** What a config says of a module. */
export interface ResolvedModule {
  /** s. */
  readonly scale: number;
  /** Its place in the adapter, which keys its dropout masks. */
  readonly index: number;
  /** ‖Wᵢ‖² of its rows, for DoRA: f32 [out, 1]. */
  readonly squares?: Tensor;
}

/** A config and what it says of each module of one adapter: made once a run. */
export interface ResolvedLora {
  readonly config: LoraConfig;
  readonly modules: ReadonlyMap<string, ResolvedModule>;
}

/**
 * What the config says of the adapters' modules. Those of DoRA need the model's `weights`, W f32 or f16 [out, in]
 * under `<module path>.weight`; throws ConfigError for one that is missing.
 */
export function resolveLora(
  config: LoraConfig,
  adapters: Adapters,
  weights: ReadonlyMap<string, Tensor> = new Map(),
): ResolvedLora {
  const modules = [...adapters].map(([path, { magnitude }], index): [string, ResolvedModule] => {
    const module = { scale: scaleOf(config, path), index };
    return [path, magnitude ? { ...module, squares: rowSquares(weightOf(weights, path)) } : module];
  });
  return { config, modules: new Map(modules) };
}

/** A module's own weight. Throws ConfigError when it is missing. */
export function weightOf(weights: ReadonlyMap<string, Tensor>, path: string): Tensor {
  const weight = weights.get(`${path}.weight`);
  if (!weight) throw new ConfigError(`lora: there is no weight of ${path}, which its adapter needs`);
  return weight;
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
 * y = linear(x) + s·(x̃·aᵀ·bᵀ + bias) on the layers that `adapters` has, linear(x) on the others; x f32 [.., in]
 * and x̃ = dropout(x), which drops only where `dropoutState` is given. With b = 0 and no bias it is linear(x), bit
 * for bit.
 *
 * With DoRA's magnitude m, y = linear(x) + (g − 1)⊙linear(x̃) + g⊙s·x̃·aᵀ·bᵀ, where g = m / ‖W + s·b·a‖ of each row,
 * and the norm is a constant to gradients.
 *
 * Throws ConfigError for a module that `lora` was not resolved for.
 * Source: Hu et al., LoRA, 2021; Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, 2024, eq. 5 and 11.
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
    const { scale, index, squares } = moduleOf(lora, path);
    return scope(() => {
      const input =
        dropoutState && rate > 0
          ? dropout(x, {
              rate,
              key: [dropoutState.seed, dropoutStream],
              counter: [dropoutState.step, index],
            })
          : x;
      const product = matmul(matmul(input, pair.a, { transposeB: true }), pair.b, { transposeB: true });
      const base = linear(x, path);
      if (pair.magnitude && squares) {
        const norms = withoutRecorders(() => adaptedNorms(pair, scale, squares, linear(pair.a, path)));
        const gain = div(pair.magnitude, reshape(norms, pair.magnitude.shape));
        const seen = input === x ? base : linear(input, path);
        const adapted = mul(addScaled(seen, product, scale), gain);
        return input === x ? adapted : add(base, sub(adapted, seen));
      }
      return addScaled(base, pair.bias ? add(product, pair.bias) : product, scale);
    });
  };
}

/** A module's scale and index. Throws ConfigError when it was not resolved. */
export function moduleOf({ modules }: ResolvedLora, path: string): ResolvedModule {
  const found = modules.get(path);
  if (!found) throw new ConfigError(`lora: ${path} is none of the modules that it was resolved for`);
  return found;
}
