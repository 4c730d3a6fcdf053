import { ConfigError } from '@flex/base';
import { add, addScaled, div, dropout, matmul, mul, reshape, scope, sub, type Tensor } from '@flex/tensor';
import { withoutRecorders } from '@flex/tensor/kernel';
import type { Limits } from './adapted-modules.ts';
import { patternMatcher } from './adapter-names.ts';
import type { AdapterPair, Adapters } from './adapters.ts';
import { adaptedNorms, rowSquares } from './dora.ts';
import { mergedWeight } from './merged-weight.ts';
import type { Targets } from './targets.ts';

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
  /** Which biases of the model are trained: none, all, or those of the layers that have an adapter. */
  readonly bias?: 'none' | 'all' | 'lora_only';
  /** Where A and B start; see `initAdapter`. */
  readonly init?: LoraInit;
  /** Ends of the paths of modules that are trained whole, with all below them. */
  readonly modulesToSave?: readonly string[];
  /** Tokens whose rows are trained: of the embedding, or of each table named. */
  readonly trainableTokenIndices?: TokenIndices;
  /** Whether lm_head, which is the embedding's transpose, follows what is trained of that. */
  readonly ensureWeightTying?: boolean;
}

/** Ids of tokens of the embedding, or those of `embed_tokens` and of `lm_head`. */
export type TokenIndices = readonly number[] | Readonly<Record<string, readonly number[]>>;

/** Where A and B start: PEFT's `init_lora_weights`, `kaiming` being its `true` and `random` its `false`. */
export type LoraInit = (typeof loraInits)[number];

/** Whether initial values are taken out of the model's weights. */
export const decomposes = (init: LoraInit = 'kaiming'): boolean => init === 'pissa' || init === 'olora';

export const loraInits = ['kaiming', 'random', 'gaussian', 'orthogonal', 'pissa', 'olora'] as const;

/** Which masks a forward pass in training draws. */
export interface DropoutState {
  /** Number of the forward pass: another for every batch, the same when a pass is recomputed. */
  readonly step: number;
  readonly seed: number;
}

// The second word of a random key says what is drawn, so that no two streams of a run meet.
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
  /** What was taken out of its weight, so that W − s·B·A is its base. */
  readonly removed?: AdapterPair;
  /** ‖Wᵢ‖² of its base's rows, for DoRA: f32 [out, 1]. */
  readonly squares?: Tensor;
}

/** A config and what it says of each module of one adapter: made once a run. */
export interface ResolvedLora {
  readonly config: LoraConfig;
  readonly modules: ReadonlyMap<string, ResolvedModule>;
  /** What was taken out of the model's weights when the adapter began; null: nothing. */
  readonly removed: Adapters | null;
}

/** What an adapter is put on, besides its own tensors. */
export interface AdaptedBase {
  /** W f32 or f16 [out, in] by the checkpoint's names, `<module path>.weight`. */
  readonly weights?: ReadonlyMap<string, Tensor>;
  /** What was taken out of them when the adapter began (see `initAdapter`); left out: nothing. */
  readonly removed?: Adapters | null;
}

/**
 * What the config says of the adapters' modules. Without the model's weights it is good for scales, and DoRA
 * cannot run. With them, throws ConfigError for one that is missing, and for an adapter that began with
 * `pissa` or `olora` without what these took out.
 */
export function resolveLora(
  config: LoraConfig,
  adapters: Adapters,
  { weights, removed = null }: AdaptedBase = {},
): ResolvedLora {
  if (weights && decomposes(config.init) && !removed)
    throw new ConfigError(`lora: ${config.init} is relative to a changed model; take openAdapter to read it`);
  const modules = [...adapters].map(([path, { magnitude }], index): [string, ResolvedModule] => {
    const scale = scaleOf(config, path);
    const taken = removed?.get(path);
    const module = { scale, index, ...(taken && { removed: taken }) };
    if (!magnitude || !weights) return [path, module];
    const weight = weightOf(weights, path);
    const squares = scope(() => rowSquares(taken ? mergedWeight(weight, taken, -scale) : weight));
    return [path, { ...module, squares }];
  });
  return { config, modules: new Map(modules), removed };
}

/** A module's own weight. Throws ConfigError when it is missing. */
export function weightOf(weights: ReadonlyMap<string, Tensor>, path: string): Tensor {
  const weight = weights.get(`${path}.weight`);
  if (!weight) throw new ConfigError(`lora: there is no weight of ${path}, which its adapter needs`);
  return weight;
}

/**
 * y = linear(x) + s·(x̃·aᵀ·bᵀ + bias) on the layers that `adapters` has, linear(x) on the others; x f32 [..,
 * in] and x̃ = dropout(x), which drops only where `dropoutState` is given. With b = 0 and no bias it is
 * linear(x), bit for bit.
 *
 * With DoRA's magnitude m, y = linear(x) + (g − 1)⊙linear(x̃) + g⊙s·x̃·aᵀ·bᵀ, where g = m / ‖W + s·b·a‖ of
 * each row, and the norm is a constant to gradients.
 *
 * Where something was taken out of the model, W and linear(x) are what is left.
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
    const { scale, index, removed, squares } = moduleOf(lora, path);
    const base = (z: Tensor) => (removed ? adapted(linear(z, path), z, removed, -scale) : linear(z, path));
    return scope(() => {
      // First, so that its gradient comes last, and is added to the others by the kernel that makes it.
      const y = base(x);
      const input =
        dropoutState && rate > 0
          ? dropout(x, {
              rate,
              key: [dropoutState.seed, dropoutStream],
              counter: [dropoutState.step, index],
            })
          : x;
      if (pair.magnitude && !squares)
        throw new ConfigError(`lora: DoRA on ${path} was resolved without the model's weights`);
      if (!pair.magnitude || !squares)
        return adapted(pair.bias ? addScaled(y, pair.bias, scale) : y, input, pair, scale);
      const norms = withoutRecorders(() => adaptedNorms(pair, scale, squares, base(pair.a)));
      const gain = div(pair.magnitude, reshape(norms, pair.magnitude.shape));
      const seen = input === x ? y : base(input);
      const whole = mul(adapted(seen, input, pair, scale), gain);
      return input === x ? whole : add(y, sub(whole, seen));
    });
  };
}

/** y + s·x·aᵀ·bᵀ. y f32 [.., out], x f32 [.., in] → f32 [.., out]. */
function adapted(y: Tensor, x: Tensor, { a, b }: AdapterPair, s: number): Tensor {
  const inner = matmul(x, a, { transposeB: true, alpha: s }); // [.., r]
  return matmul(inner, b, { transposeB: true, plus: y });
}

/** A module's scale and index. Throws ConfigError when it was not resolved. */
export function moduleOf({ modules }: ResolvedLora, path: string): ResolvedModule {
  const found = modules.get(path);
  if (!found) throw new ConfigError(`lora: ${path} is none of the modules that it was resolved for`);
  return found;
}
