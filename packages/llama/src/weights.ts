import { DataError } from '@flex/base';
import { type Backend, empty, type QuantizedDType, type Spec, type Tensor } from '@flex/tensor';
import type { SafetensorsDType } from '@flex/tensor/safetensors';
import type { Checkpoint } from './checkpoint-files.ts';
import type { ModelConfig } from './config.ts';
import type { LoadedWeights } from './load-weights.ts';

/** Storage of the frozen matrices. Norms and biases are kept in f32; products accumulate in f32. */
export type WeightDType = 'f32' | 'f16';

/** How a model's weights are stored. */
export interface WeightStorage {
  /** Of matrices; `auto` is what suits the checkpoint. */
  readonly dtype: WeightDType | 'auto';
  /** The type of the linear layers but the head, in place of it; null or left out: none. */
  readonly quantize?: QuantizedDType | null;
}

/** The type of matrices that `auto` means for a checkpoint, where none has a number beyond f16. */
export function matrixType(config: ModelConfig, dtype: WeightStorage['dtype']): WeightDType {
  if (dtype !== 'auto') return dtype;
  return config.torchDtype === 'f32' ? 'f32' : 'f16';
}

/** What records say of it: `f16`, or `nf4, else f16`. */
export function storageName({ dtype, quantize }: { dtype: string; quantize?: string | null }): string {
  return quantize ? `${quantize}, else ${dtype}` : dtype;
}

/** Output and input size of a linear layer; its weight is stored [out, in]. */
export interface LinearSize {
  readonly out: number;
  readonly in: number;
}

const embedding = 'model.embed_tokens.weight';
const head = 'lm_head.weight';

/** The linear layers of a feed-forward layer: those on its input, and the one that gives its output. */
export const mlpModules = {
  gated: [['gate_proj', 'up_proj'], 'down_proj'],
  plain: [['c_fc'], 'c_proj'],
} as const;

/** Bytes compared at a time. */
const chunkBytes = 16 * 2 ** 20;

/**
 * Module paths of the model's linear layers, without `.weight`, in the order they run; lm_head is the last.
 */
export function linearSizes(config: ModelConfig): Map<string, LinearSize> {
  const { hiddenSize: e, intermediateSize: f, heads, kvHeads, headDim } = config;
  const sizes = new Map<string, LinearSize>();
  for (let i = 0; i < config.layers; i++) {
    const attention = `model.layers.${i}.self_attn`;
    const mlp = `model.layers.${i}.mlp`;
    sizes.set(`${attention}.q_proj`, { out: heads * headDim, in: e });
    sizes.set(`${attention}.k_proj`, { out: kvHeads * headDim, in: e });
    sizes.set(`${attention}.v_proj`, { out: kvHeads * headDim, in: e });
    sizes.set(`${attention}.o_proj`, { out: e, in: heads * headDim });
    const [inner, outer] = mlpModules[config.mlp];
    for (const name of inner) sizes.set(`${mlp}.${name}`, { out: f, in: e });
    sizes.set(`${mlp}.${outer}`, { out: e, in: f });
  }
  return sizes.set('lm_head', { out: config.vocabSize, in: e });
}

/** The modules that int8 and nf4 are for: all linear layers but the head. */
export function quantizedModules(config: ModelConfig): string[] {
  return [...linearSizes(config).keys()].filter((path) => path !== 'lm_head');
}

/** The first module whose rows are no multiple of 8 numbers, as int8 and nf4 need; undefined: none. */
export const unquantizable = (config: ModelConfig): string | undefined =>
  [...linearSizes(config)].find(([path, size]) => path !== 'lm_head' && size.in % 8 !== 0)?.[0];

/**
 * How each weight of a model is stored: norms and biases in f32. Throws DataError for what is
 * `unquantizable`.
 */
export function storedAs(
  config: ModelConfig,
  dtype: WeightDType,
  quantize: QuantizedDType | null = null,
): Map<string, Spec> {
  const shapes = weightShapes(config);
  const odd = quantize && unquantizable(config);
  if (odd) {
    const need = `quantize: ${quantize} needs rows of a multiple of 8 numbers`;
    const shape = shapes.get(`${odd}.weight`)!;
    throw new DataError(`${need}, and "${odd}.weight" is [${shape.join(', ')}]; leave it out`);
  }
  const quantized = new Set(quantize ? quantizedModules(config).map((path) => `${path}.weight`) : []);
  const typeOf = (name: string, rank: number) =>
    quantize && quantized.has(name) ? quantize : rank > 1 ? dtype : 'f32';
  return new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: typeOf(name, shape.length) }]));
}

/** The shape each parameter must have, by its name in the checkpoint. */
export function weightShapes(config: ModelConfig): Map<string, readonly number[]> {
  const { hiddenSize: e, headDim, norm, qkNorm } = config;
  const shapes = new Map<string, readonly number[]>([[embedding, [config.vocabSize, e]]]);
  const addNorm = (path: string) => {
    shapes.set(`${path}.weight`, [e]);
    if (norm === 'layer') shapes.set(`${path}.bias`, [e]);
  };
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`;
    addNorm(`${layer}.input_layernorm`);
    addNorm(`${layer}.post_attention_layernorm`);
    if (!qkNorm) continue;
    for (const name of ['q_norm', 'k_norm']) shapes.set(`${layer}.self_attn.${name}.weight`, [headDim]);
  }
  addNorm('model.norm');
  for (const [path, size] of linearSizes(config)) {
    shapes.set(`${path}.weight`, [size.out, size.in]);
    if (hasBias(config, path)) shapes.set(`${path}.bias`, [size.out]);
  }
  return shapes;
}

/** Whether a linear layer has a bias. */
function hasBias({ biases }: ModelConfig, path: string): boolean {
  const [module, name] = path.split('.').slice(-2);
  if (module === 'mlp') return biases.mlp;
  return module === 'self_attn' && (name === 'o_proj' ? biases.o : biases.qkv);
}

/** The keys of config.json that make the shape of a module's weight, the first of them that of its bias. */
const shapeKeys: Readonly<Record<string, string>> = {
  embed_tokens: 'vocab_size, hidden_size',
  lm_head: 'vocab_size, hidden_size',
  q_proj: 'num_attention_heads · head_dim, hidden_size',
  k_proj: 'num_key_value_heads · head_dim, hidden_size',
  v_proj: 'num_key_value_heads · head_dim, hidden_size',
  o_proj: 'hidden_size, num_attention_heads · head_dim',
  gate_proj: 'intermediate_size, hidden_size',
  up_proj: 'intermediate_size, hidden_size',
  down_proj: 'hidden_size, intermediate_size',
  c_fc: 'intermediate_size, hidden_size',
  c_proj: 'hidden_size, intermediate_size',
  q_norm: 'head_dim',
  k_norm: 'head_dim',
};

/** The weights of a configuration with any numbers in them, embeddings tied where it ties them: for plans. */
export function emptyWeights(
  backend: Backend,
  config: ModelConfig,
  dtype: WeightDType,
  quantize: QuantizedDType | null = null,
): LoadedWeights {
  const weights = new Map<string, Tensor>();
  for (const [name, spec] of storedAs(config, dtype, quantize)) {
    const own = config.tieWordEmbeddings && name === head ? weights.get(embedding) : undefined;
    weights.set(name, own ?? empty(backend, spec));
  }
  return { weights, quantized: null, warnings: [] };
}

/** Throws DataError for a weight that is not there, no float, or of another shape than config.json says. */
export function requireWeights(checkpoint: Checkpoint, config: ModelConfig): void {
  for (const line of wrongWeights(checkpoint, config)) throw new DataError(line);
}

const isFloat = (dtype: SafetensorsDType): boolean => ['F64', 'F32', 'F16', 'BF16'].includes(dtype);

/** Tensors that the configuration does not mean; the frequencies that old files have are not told of. */
export function unreadTensors(checkpoint: Checkpoint, config: ModelConfig): string[] {
  const shapes = weightShapes(config);
  return checkpoint.names().filter((name) => !shapes.has(name) && !name.endsWith('.rotary_emb.inv_freq'));
}

/** What `requireWeights` refuses, a line for each weight. */
export function* wrongWeights(checkpoint: Checkpoint, config: ModelConfig): Generator<string> {
  const isTied = config.tieWordEmbeddings && (checkpoint.has(embedding) || checkpoint.has(head));
  const { dir } = checkpoint;
  for (const [name, wanted] of weightShapes(config)) {
    const isOther = isTied && [embedding, head].includes(name);
    if (!checkpoint.has(name)) {
      if (!isOther)
        yield `${dir}: there is no tensor "${name}" among the model's ${checkpoint.names().length}`;
      continue;
    }
    const { shape, dtype } = checkpoint.spec(name);
    if (!isFloat(dtype)) {
      yield `${dir}: tensor "${name}" is ${dtype}; weights must be F64, F32, F16 or BF16`;
      continue;
    }
    if (shape.join() === wanted.join()) continue;
    const ofModule = shapeKeys[name.split('.').at(-2)!] ?? 'hidden_size';
    const keys = wanted.length === 1 ? ofModule.split(', ')[0] : ofModule;
    const shapes = `is [${shape.join(', ')}], but config.json makes it [${wanted.join(', ')}]`;
    yield `${dir}: tensor "${name}" ${shapes}: ${keys}`;
  }
}

/** Whether embedding and head are one weight: tied in config.json, and one of them or two that are equal. */
export function areTied(checkpoint: Checkpoint, config: ModelConfig): boolean {
  return tiedEmbeddings(checkpoint, config).copy !== undefined;
}

/**
 * The same weights with those of the embedding and of the head under a name each, where there is one of them:
 * what tied embeddings become when one is changed.
 */
export function untied(checkpoint: Checkpoint): Checkpoint {
  const own = (name: string): string => {
    if (checkpoint.has(name)) return name;
    return name === head ? embedding : name === embedding ? head : name;
  };
  return {
    ...checkpoint,
    names: () => [...new Set([...checkpoint.names(), embedding, head])],
    has: (name) => checkpoint.has(own(name)),
    spec: (name) => checkpoint.spec(own(name)),
    readChunks: (name, chunkBytes) => checkpoint.readChunks(own(name), chunkBytes),
    async *stream(names, chunkBytes) {
      for (const name of names) {
        for await (const { bytes } of checkpoint.stream([own(name)], chunkBytes)) yield { name, bytes };
      }
    },
  };
}

/** Of embeddings that are tied, the name that the checkpoint has and the one that means the same tensor. */
export function tiedEmbeddings(
  checkpoint: Checkpoint,
  config: ModelConfig,
): { source: string; copy?: string; warnings: string[] } {
  if (!config.tieWordEmbeddings) return { source: embedding, warnings: [] };
  if (!checkpoint.has(head) || sameBytes(checkpoint, embedding, head)) {
    return { source: embedding, copy: head, warnings: [] };
  }
  if (!checkpoint.has(embedding)) return { source: head, copy: embedding, warnings: [] };
  const line = `config.json ties ${head} to ${embedding}, but the checkpoint has both and they differ: both are used`;
  return { source: embedding, warnings: [`${checkpoint.dir}: ${line}, as in transformers`] };
}

function sameBytes(checkpoint: Checkpoint, a: string, b: string): boolean {
  if (!checkpoint.has(a) || checkpoint.spec(a).dtype !== checkpoint.spec(b).dtype) return false;
  if (checkpoint.spec(a).bytes !== checkpoint.spec(b).bytes) return false;
  const others = checkpoint.readChunks(b, chunkBytes);
  for (const bytes of checkpoint.readChunks(a, chunkBytes)) {
    if (Buffer.compare(bytes, others.next().value!) !== 0) return false;
  }
  return true;
}
