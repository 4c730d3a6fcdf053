import { DataError } from '@flex/base';
import {
  add,
  addRmsNorm,
  type Backend,
  concat,
  crossEntropy,
  DeviceError,
  gather,
  geglu,
  gegluTanh,
  gelu,
  geluTanh,
  layerNorm,
  matmul,
  mul,
  OutOfMemoryError,
  reshape,
  rmsNorm,
  ShapeError,
  scope,
  show,
  silu,
  slice,
  sum,
  swiglu,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import { type ModelConfig, readConfig } from './config.ts';
import { documentsPast } from './documents-past.ts';
import type { Architecture } from './families/index.ts';
import { type LoadedWeights, type LoadWeightsOptions, loadWeights } from './load-weights.ts';
import { causalPast, type Past, type RotaryModel } from './past.ts';
import type { QuantizedWeights } from './quantized-weights.ts';
import { newRotary } from './rotary-tables.ts';
import {
  areTied,
  emptyWeights,
  type LinearSize,
  linearSizes,
  matrixType,
  mlpModules,
  requireWeights,
  type WeightStorage,
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
  /** The weight of a norm, as the checkpoint has it: f32 [e]. */
  norm(path: string): Tensor;
  /** What is added to what a linear layer or a norm gives: f32 [out]; undefined: nothing. */
  bias(path: string): Tensor | undefined;
}

/**
 * A causal language model: frozen weights on a backend, and what is needed to run them. An adapted one is the
 * same with other layers, `{ ...model, ...layers }`.
 */
export interface CausalLM extends RotaryModel, Layers {
  readonly dir: string;
  readonly backend: Backend;
  /** By the checkpoint's own names; tied embeddings are one tensor under two of them. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** The weights that are int8 or nf4; null: none. */
  readonly quantized: QuantizedWeights | null;
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

export interface LoadOptions extends LoadWeightsOptions {
  /** Weights to load in place of the directory's own, for its configuration. */
  readonly checkpoint?: Checkpoint;
}

/**
 * Loads a Hugging Face directory, its matrices stored as `dtype` (see `loadWeights`). Throws DataError,
 * in one line, for anything missing or damaged in it, and DeviceError for weights that do not fit the device.
 */
export async function loadModel(
  backend: Backend,
  dir: string,
  { checkpoint, ...options }: LoadOptions,
): Promise<CausalLM> {
  const config = readConfig(dir);
  const source = checkpoint ?? openCheckpoint(dir);
  try {
    return newModel(backend, dir, config, await loadWeights(backend, source, config, options));
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error;
    throw new DeviceError(`${dir}: the weights do not fit the device: ${error.message}`, { cause: error });
  } finally {
    if (!checkpoint) source.close();
  }
}

/**
 * A directory's model with any numbers in it, stored as `loadModel` would: for plans. Throws DataError for
 * weights that do not fit its config.json.
 */
export function emptyModel(backend: Backend, dir: string, { dtype, quantize }: WeightStorage): CausalLM {
  const config = readConfig(dir);
  const checkpoint = openCheckpoint(dir);
  try {
    requireWeights(checkpoint, config);
    const shape = { ...config, tieWordEmbeddings: areTied(checkpoint, config) };
    return newModel(backend, dir, config, emptyWeights(backend, shape, matrixType(config, dtype), quantize));
  } finally {
    checkpoint.close();
  }
}

/** The model of a directory's configuration with weights that are on a backend. */
export function newModel(
  backend: Backend,
  dir: string,
  config: ModelConfig,
  { weights, quantized, warnings }: LoadedWeights,
): CausalLM {
  const { rope, ropeAt, dispose } = newRotary(backend, config);
  return {
    dir,
    config,
    backend,
    weights,
    quantized,
    warnings: [...warnings, ...windowWarnings(dir, config)],
    linears: linearSizes(config),
    linear(x, path) {
      const weight = weights.get(`${path}.weight`);
      if (!weight) throw new Error(`${dir}: there is no linear layer "${path}"`);
      return matmul(x, weight, { transposeB: true });
    },
    embed: (ids) => gather(weights.get('model.embed_tokens.weight')!, ids),
    norm: (path) => weights.get(`${path}.weight`)!,
    bias: (path) => weights.get(`${path}.bias`),
    rope,
    ropeAt,
    dispose() {
      for (const t of weights.values()) t.dispose();
      dispose();
    },
  };
}

/** What is to be known of a model whose decoding is not what one pass makes of the same text. */
function windowWarnings(dir: string, { windows, cachedWindows, maxPositions }: ModelConfig): string[] {
  const within = (window: number | null) => Math.min(window ?? maxPositions, maxPositions);
  if (windows.every((window, layer) => within(window) === within(cachedWindows[layer]))) return [];
  const rule = 'lets decoded tokens see others than in a pass over the whole text';
  return [`${dir}: config.json's "sliding_window" ${rule}, as in transformers`];
}

/**
 * The last hidden states, after the final norm. ids i32 [b, t] → f32 [b, t, e]. Rows are right-padded: a
 * causal model's states before the padding do not depend on it.
 */
export function forward(model: CausalLM, ids: Tensor, options: ForwardOptions = {}): Tensor {
  if (ids.shape.length !== 2) throw new ShapeError(`forward: needs ids [b, t], got ${show(ids)}`);
  const { config } = model;
  const { runLayer = (layer) => layer() } = options;
  const [b, t] = ids.shape;
  const past = options.past ?? causalPast(model, [b, t]);
  let x = embedded(model, ids);
  for (let index = 0; index < config.layers; index++) {
    const path = `model.layers.${index}`;
    const before = x;
    const layer = (): Tensor => {
      const seen = normalized(model, before, `${path}.input_layernorm`);
      const attended = attention(model, seen, { past, index, path: `${path}.self_attn` });
      const [middle, h] = addNormalized(model, before, attended, `${path}.post_attention_layernorm`);
      return add(middle, feedForward(model, h, `${path}.mlp`));
    };
    // Nothing else outlives its layer, unless something records.
    x = scope(() => runLayer(layer, before, index));
  }
  return normalized(model, x, 'model.norm');
}

/** The rows of tokens as the first layer takes them. i32 [b, t] → f32 [b, t, e]. */
function embedded({ config, embed }: CausalLM, ids: Tensor): Tensor {
  const { embeddingScale } = config;
  return embeddingScale === 1 ? embed(ids) : scope(() => mul(embed(ids), embeddingScale));
}

/** A linear layer with its bias, if it has one. x f32 [.., in] → f32 [.., out]. */
function affine({ linear, bias }: Layers, x: Tensor, path: string): Tensor {
  const [y, added] = [linear(x, path), bias(path)];
  return added ? add(y, added) : y;
}

/** The weight that a norm's elements are multiplied by. */
function normWeight({ config, norm }: CausalLM, path: string): Tensor {
  return config.normOffset === 0 ? norm(path) : add(norm(path), config.normOffset);
}

/** The norm of a model's family. f32 [.., e] → f32 [.., e]. */
function normalized(model: CausalLM, x: Tensor, path: string): Tensor {
  const { norm, normEps } = model.config;
  const weight = normWeight(model, path);
  return norm === 'rms' ? rmsNorm(x, weight, normEps) : layerNorm(x, weight, model.bias(path)!, normEps);
}

/** x + y and its norm. */
function addNormalized(model: CausalLM, x: Tensor, y: Tensor, path: string): [h: Tensor, normed: Tensor] {
  const { norm, normEps } = model.config;
  if (norm === 'rms') return addRmsNorm(x, y, normWeight(model, path), normEps);
  const h = add(x, y);
  return [h, normalized(model, h, path)];
}

const activations: Readonly<Record<Architecture['activation'], (x: Tensor) => Tensor>> = {
  silu,
  gelu,
  gelu_tanh: geluTanh,
};

/** act(gate)∘up. */
const gates: Readonly<Record<Architecture['activation'], (gate: Tensor, up: Tensor) => Tensor>> = {
  silu: swiglu,
  gelu: geglu,
  gelu_tanh: gegluTanh,
};

/** f32 [.., e] → f32 [.., e]. */
function feedForward(model: CausalLM, x: Tensor, path: string): Tensor {
  const { mlp, activation } = model.config;
  const [inner, outer] = mlpModules[mlp];
  const [gate, up] = inner.map((name) => affine(model, x, `${path}.${name}`));
  const active = mlp === 'gated' ? gates[activation](gate, up) : activations[activation](gate);
  return affine(model, active, `${path}.${outer}`);
}

interface AttentionInputs {
  readonly past: Past;
  readonly index: number;
  readonly path: string;
}

/** Grouped-query attention. x f32 [b, t, e] → f32 [b, t, e]. */
function attention(model: CausalLM, x: Tensor, { past, index, path }: AttentionInputs): Tensor {
  const [b, t] = x.shape;
  const { heads: h, kvHeads, headDim: d, qkNorm } = model.config;
  const project = (name: string, heads: number) =>
    reshape(affine(model, x, `${path}.${name}`), [b, t, heads, d]);
  const turned = (name: 'q' | 'k', heads: number) => {
    const y = project(`${name}_proj`, heads);
    return past.rotate(qkNorm ? normalized(model, y, `${path}.${name}_norm`) : y);
  };
  const q = turned('q', h);
  const kv = past.extend(index, { k: turned('k', kvHeads), v: project('v_proj', kvHeads) });
  return affine(model, reshape(past.attend(index, q, kv), [b, t, h * d]), `${path}.o_proj`);
}

/** Logits of hidden states. f32 [.., e] → f32 [.., v]. */
export function logits(model: CausalLM, hidden: Tensor): Tensor {
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
  /**
   * The labels of scored rows from their logits f32 [rows, v], the first of which is scored row `first` of the
   * batch: i32 [rows]. Left out: the batch's own.
   */
  readonly labelsOf?: (logits: Tensor, first: number) => Tensor;
  /** Adds up the losses of rows that meet the vocabulary together, f32 [] each; the default just does. */
  readonly sumOf?: (losses: readonly (() => Tensor)[]) => Tensor;
}

/** Scored rows that meet the vocabulary together. */
const rowsTogether = 256;

/**
 * Σ −ln p(label_{i+1} | tokens up to i) over the scored tokens, in nats: f32 []. Divide by `scoredTokens` for
 * the mean. Throws DataError when the batch scores nothing.
 */
export function lossSum(model: CausalLM, batch: TokenBatch, options: LossOptions = {}): Tensor {
  const { sumOf = (losses) => losses.map((loss) => scope(loss)).reduce((total, loss) => add(total, loss)) } =
    options;
  return sumOf(lossesTogether(model, batch, options).map((losses) => () => sum(losses())));
}

/**
 * −ln p(label_{i+1} | tokens up to i) of each scored token, row after row, in nats: f32 [scoredTokens]. Only
 * scored rows meet the vocabulary. Throws DataError when the batch scores nothing.
 */
export function tokenLosses(model: CausalLM, batch: TokenBatch): Tensor {
  return concat(
    lossesTogether(model, batch, {}).map((losses) => scope(losses)),
    0,
  );
}

/** The losses of scored tokens, 256 after 256: f32 [≤ 256] each, whose logits are made when it is called. */
function lossesTogether(model: CausalLM, batch: TokenBatch, options: LossOptions): (() => Tensor)[] {
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
  const { hiddenSize } = model.config;
  const hidden = forward(model, index(input_ids, [b, t]), { past, ...options });
  const scored = gather(reshape(hidden, [b * t, hiddenSize]), index(rows, [rows.length]));
  return Array.from({ length: Math.ceil(rows.length / rowsTogether) }, (_, k) => () => {
    const first = k * rowsTogether;
    const own = targets.slice(first, first + rowsTogether);
    const predicted = logits(model, slice(scored, [first, 0], [own.length, hiddenSize]));
    return crossEntropy(predicted, options.labelsOf?.(predicted, first) ?? index(own, [own.length]));
  });
}
