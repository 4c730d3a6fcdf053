import { DataError } from '@flex/base';
import {
  add,
  addRmsNorm,
  type Backend,
  crossEntropy,
  DeviceError,
  gather,
  keep,
  matmul,
  OutOfMemoryError,
  permute,
  type RopeTables,
  reshape,
  rmsNorm,
  ShapeError,
  show,
  sum,
  swiglu,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import { inverseFrequencies, type LlamaConfig, readLlamaConfig } from './config.ts';
import { documentsPast } from './documents-past.ts';
import { causalPast, type Past, type RotaryModel } from './past.ts';
import {
  type LinearSize,
  type LoadedWeights,
  linearSizes,
  loadWeights,
  type WeightDType,
} from './weights.ts';

/**
 * How a forward pass meets the weights: the one seam between a model and an adapter. `path` is a module's name
 * in the checkpoint, such as `model.layers.0.mlp.gate_proj`.
 */
export interface Layers {
  /** x·Wᵀ of a linear layer: x f32 [.., in] → f32 [.., out]. */
  linear(x: Tensor, path: string): Tensor;
  /** The rows of tokens in the embedding: ids i32 [b, t] → f32 [b, t, e]. */
  embed(ids: Tensor): Tensor;
  /** The weight of a norm: f32 [e]. */
  norm(path: string): Tensor;
}

/**
 * A Llama: frozen weights on a backend, and what is needed to run them. An adapted one is the same with other
 * layers, `{ ...model, ...layers }`.
 */
export interface LlamaModel extends RotaryModel, Layers {
  readonly dir: string;
  readonly backend: Backend;
  /** By the checkpoint's own names; tied embeddings are one tensor under two of them. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** What was not done as its files or the dtype say, a line each. */
  readonly warnings: readonly string[];
  /** Sizes of the linear layers by module path. */
  readonly linears: ReadonlyMap<string, LinearSize>;
  dispose(): void;
}

export interface ForwardOptions {
  /** Left out: nothing comes before these tokens, and nothing is kept of them. */
  readonly past?: Past;
  /** Runs a layer; the default just calls it. Activation checkpointing goes here. */
  readonly runLayer?: (layer: () => Tensor, x: Tensor, index: number) => Tensor;
}

export interface LoadOptions {
  readonly dtype: WeightDType | 'auto';
  /** Weights to load in place of the directory's own, for its configuration. */
  readonly checkpoint?: Checkpoint;
}

/**
 * Loads a Hugging Face Llama directory, its matrices stored as `dtype` (see `loadWeights`). Throws DataError,
 * in one line, for anything missing or damaged in it, and DeviceError for weights that do not fit the device.
 */
export function loadLlama(backend: Backend, dir: string, { dtype, checkpoint }: LoadOptions): LlamaModel {
  const config = readLlamaConfig(dir);
  const source = checkpoint ?? openCheckpoint(dir);
  let loaded: LoadedWeights;
  try {
    loaded = loadWeights(backend, source, config, dtype);
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    throw new DeviceError(`${dir}: the weights do not fit the device: ${error.message}`, { cause: error });
  } finally {
    if (!checkpoint) source.close();
  }
  const { weights, warnings } = loaded;
  let tables: RopeTables | undefined;
  return {
    dir,
    config,
    backend,
    weights,
    warnings,
    linears: linearSizes(config),
    linear(x, path) {
      const weight = weights.get(`${path}.weight`);
      if (!weight) throw new Error(`${dir}: there is no linear layer "${path}"`);
      return matmul(x, weight, { transposeB: true });
    },
    embed: (ids) => gather(weights.get('model.embed_tokens.weight')!, ids),
    norm: (path) => weights.get(`${path}.weight`)!,
    rope(positions) {
      if (positions > config.maxPositions) {
        throw new DataError(
          `${dir}: ${positions} tokens are more than the model's context of ${config.maxPositions}`,
        );
      }
      if (!tables || tables.cos.shape[0] < positions) {
        tables = ropeTables(backend, config, Math.min(config.maxPositions, Math.max(512, 2 * positions)));
      }
      return tables;
    },
    dispose() {
      for (const t of weights.values()) t.dispose();
      tables?.cos.dispose();
      tables?.sin.dispose();
    },
  };
}

/** cos and sin of position·frequency, computed in f64 and rounded once to f32 [positions, d/2]. */
function ropeTables(backend: Backend, config: LlamaConfig, positions: number): RopeTables {
  const frequencies = inverseFrequencies(config);
  const half = frequencies.length;
  const table = (f: (angle: number) => number) =>
    keep(
      tensor(
        backend,
        Float64Array.from({ length: positions * half }, (_, i) =>
          f(Math.floor(i / half) * frequencies[i % half]),
        ),
        [positions, half],
      ),
    );
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/**
 * The last hidden states, after the final norm. ids i32 [b, t] → f32 [b, t, e]. Rows are right-padded: a
 * causal model's states before the padding do not depend on it.
 */
export function forward(model: LlamaModel, ids: Tensor, options: ForwardOptions = {}): Tensor {
  if (ids.shape.length !== 2) throw new ShapeError(`forward: needs ids [b, t], got ${show(ids)}`);
  const { config, linear, norm } = model;
  const { runLayer = (layer) => layer() } = options;
  const past = options.past ?? causalPast(model, ids.shape[1]);
  const { rmsNormEps: eps } = config;
  let x = model.embed(ids);
  for (let index = 0; index < config.layers; index++) {
    const path = `model.layers.${index}`;
    const before = x;
    const layer = (): Tensor => {
      const seen = rmsNorm(before, norm(`${path}.input_layernorm`), eps);
      const attended = attention(seen, { config, linear, past, index, path: `${path}.self_attn` });
      const [middle, h] = addRmsNorm(before, attended, norm(`${path}.post_attention_layernorm`), eps);
      const gated = swiglu(linear(h, `${path}.mlp.gate_proj`), linear(h, `${path}.mlp.up_proj`));
      return add(middle, linear(gated, `${path}.mlp.down_proj`));
    };
    x = runLayer(layer, before, index);
  }
  return rmsNorm(x, norm('model.norm'), eps);
}

interface AttentionInputs {
  readonly config: LlamaConfig;
  readonly linear: Layers['linear'];
  readonly past: Past;
  readonly index: number;
  readonly path: string;
}

/** Grouped-query attention. x f32 [b, t, e] → f32 [b, t, e]. */
function attention(x: Tensor, { config, linear, past, index, path }: AttentionInputs): Tensor {
  const [b, t] = x.shape;
  const { heads: h, kvHeads, headDim: d } = config;
  const group = h / kvHeads;
  /** [b, t, heads·d] → [b, heads, t, d] */
  const split = (y: Tensor, heads: number) => permute(reshape(y, [b, t, heads, d]), [0, 2, 1, 3]);
  const rotated = (name: string, heads: number) =>
    permute(past.rotate(reshape(linear(x, `${path}.${name}`), [b, t, heads, d])), [0, 2, 1, 3]);
  // The heads of a group share keys and values: fold them into the rows, [b·kv, group·t, d].
  const q = reshape(rotated('q_proj', h), [b * kvHeads, group * t, d]);
  const { k, v } = past.extend(index, {
    k: reshape(rotated('k_proj', kvHeads), [b * kvHeads, t, d]),
    v: reshape(split(linear(x, `${path}.v_proj`), kvHeads), [b * kvHeads, t, d]),
  });
  const weights = past.weigh(matmul(q, k, { transposeB: true })); // [b·kv, group·t, s]
  const mixed = reshape(matmul(weights, v), [b, h, t, d]);
  return linear(reshape(permute(mixed, [0, 2, 1, 3]), [b, t, h * d]), `${path}.o_proj`);
}

/** Logits of hidden states. f32 [.., e] → f32 [.., v]. */
export function logits(model: LlamaModel, hidden: Tensor): Tensor {
  return model.linear(hidden, 'lm_head');
}

/** Right-padded rows of token ids; labels −100 are not scored. Both [b·t], row-major. */
export interface TokenBatch {
  readonly b: number;
  readonly t: number;
  readonly input_ids: Int32Array;
  readonly labels: Int32Array;
  /** Where rows hold several documents (see documentsPast): the first token's place of each token's document. */
  readonly starts?: Int32Array;
}

/** Tokens of the batch that the loss scores: labels ≥ 0 that have a token before them. */
export function scoredTokens({ b, t, labels }: TokenBatch): number {
  let count = 0;
  for (let row = 0; row < b; row++) for (let i = 1; i < t; i++) if (labels[row * t + i] >= 0) count++;
  return count;
}

export interface LossOptions extends ForwardOptions {
  /** The labels of the scored rows from their logits [rows, v], i32 [rows]; left out: the batch's own. */
  readonly labelsOf?: (logits: Tensor) => Tensor;
}

/**
 * Σ −ln p(label_{i+1} | tokens up to i) over the scored tokens, in nats: f32 []. Only scored rows meet the
 * vocabulary. Divide by `scoredTokens` for the mean. Throws DataError when the batch scores nothing.
 */
export function lossSum(model: LlamaModel, batch: TokenBatch, options: LossOptions = {}): Tensor {
  const { b, t, input_ids, labels, starts } = batch;
  const rows: number[] = [];
  const targets: number[] = [];
  for (let row = 0; row < b; row++) {
    for (let i = 1; i < t; i++) {
      const label = labels[row * t + i];
      if (label < 0) continue;
      rows.push(row * t + i - 1);
      targets.push(label);
    }
  }
  if (rows.length === 0) throw new DataError('loss: the batch has no scored token');
  const index = (values: ArrayLike<number>, shape: number[]) =>
    tensor(model.backend, Int32Array.from(values), shape, 'i32');
  const past = starts && documentsPast(model, starts, [b, t]);
  const hidden = forward(model, index(input_ids, [b, t]), { past, ...options });
  const scored = gather(reshape(hidden, [b * t, model.config.hiddenSize]), index(rows, [rows.length]));
  const predicted = logits(model, scored);
  return sum(crossEntropy(predicted, options.labelsOf?.(predicted) ?? index(targets, [targets.length])));
}
