import { DataError } from '@flex/base';
import { type Backend, type Spec, type Tensor, tensorFromChunks } from '@flex/tensor';
import { toFloat16, toFloat32 } from '@flex/tensor/safetensors';
import type { Checkpoint } from './checkpoint-files.ts';
import type { LlamaConfig } from './config.ts';

/** Storage of the frozen matrices. Norms are kept in f32; products accumulate in f32. */
export type WeightDType = 'f32' | 'f16';

/** Output and input size of a linear layer; its weight is stored [out, in]. */
export interface LinearSize {
  readonly out: number;
  readonly in: number;
}

const embedding = 'model.embed_tokens.weight';
const head = 'lm_head.weight';

/** Bytes read from the disk at a time. */
const chunkBytes = 16 * 2 ** 20;

/**
 * Module paths of the model's linear layers, without `.weight`, in the order they run; lm_head is the last.
 */
export function linearSizes(config: LlamaConfig): Map<string, LinearSize> {
  const { hiddenSize: e, intermediateSize: f, heads, kvHeads, headDim } = config;
  const sizes = new Map<string, LinearSize>();
  for (let i = 0; i < config.layers; i++) {
    const attention = `model.layers.${i}.self_attn`;
    const mlp = `model.layers.${i}.mlp`;
    sizes.set(`${attention}.q_proj`, { out: heads * headDim, in: e });
    sizes.set(`${attention}.k_proj`, { out: kvHeads * headDim, in: e });
    sizes.set(`${attention}.v_proj`, { out: kvHeads * headDim, in: e });
    sizes.set(`${attention}.o_proj`, { out: e, in: heads * headDim });
    sizes.set(`${mlp}.gate_proj`, { out: f, in: e });
    sizes.set(`${mlp}.up_proj`, { out: f, in: e });
    sizes.set(`${mlp}.down_proj`, { out: e, in: f });
  }
  return sizes.set('lm_head', { out: config.vocabSize, in: e });
}

/** The shape each parameter must have, by its name in the checkpoint. */
export function weightShapes(config: LlamaConfig): Map<string, readonly number[]> {
  const e = config.hiddenSize;
  const shapes = new Map<string, readonly number[]>([[embedding, [config.vocabSize, e]]]);
  for (let i = 0; i < config.layers; i++) {
    shapes.set(`model.layers.${i}.input_layernorm.weight`, [e]);
    shapes.set(`model.layers.${i}.post_attention_layernorm.weight`, [e]);
  }
  shapes.set('model.norm.weight', [e]);
  for (const [path, size] of linearSizes(config)) shapes.set(`${path}.weight`, [size.out, size.in]);
  return shapes;
}

/** The keys of config.json that make a module's shape; of the norms hidden_size alone. */
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
};

/** Weights on a backend. */
export interface LoadedWeights {
  /** By the checkpoint's names; tied embeddings are one tensor under two of them. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** What is not as config.json or the dtype says, a line each. */
  readonly warnings: readonly string[];
}

/**
 * Uploads a model's weights, 16 MiB at a time: matrices as `dtype` (rounded once to nearest
 * even), norms as f32. `auto` is f32 where config.json says that the checkpoint is, else f16, but f32 for a
 * matrix with a number beyond f16. As in transformers, embeddings that config.json ties are not tied where
 * the checkpoint has two that differ.
 *
 * Throws DataError for a missing or misshapen tensor, and for a number beyond f16 where `dtype` is f16.
 */
export function loadWeights(
  backend: Backend,
  checkpoint: Checkpoint,
  config: LlamaConfig,
  dtype: WeightDType | 'auto',
): LoadedWeights {
  const { dir } = checkpoint;
  const weights = new Map<string, Tensor>();
  const wide: string[] = [];
  const half = dtype === 'auto' ? config.torchDtype !== 'f32' : dtype === 'f16';
  try {
    requireWeights(checkpoint, config);
    const { source, copy, warnings } = tiedEmbeddings(checkpoint, config);
    for (const [name, shape] of weightShapes(config)) {
      if (name === copy) continue;
      const isHalf = half && shape.length > 1;
      const { weight, beyondF16 } = load(backend, checkpoint, name, { shape, dtype: isHalf ? 'f16' : 'f32' });
      weights.set(name, weight);
      if (beyondF16 === undefined) continue;
      wide.push(`tensor "${name}" holds ${beyondF16}, and the largest f16 is 65504`);
      if (dtype === 'f16') throw new DataError(`${dir}: ${wide[0]}; take dtype f32`);
      weight.dispose();
      weights.set(name, load(backend, checkpoint, name, { shape, dtype: 'f32' }).weight);
    }
    if (copy) weights.set(copy, weights.get(source)!);
    if (wide.length > 0) warnings.push(`${dir}: ${wide[0]}; matrices kept in f32: ${wide.length}`);
    return { weights, warnings };
  } catch (error) {
    for (const t of weights.values()) t.dispose();
    throw error;
  }
}

/** Throws DataError for a weight that the configuration means and that is not there, or has another shape. */
export function requireWeights(checkpoint: Checkpoint, config: LlamaConfig): void {
  const isTied = config.tieWordEmbeddings && (checkpoint.has(embedding) || checkpoint.has(head));
  for (const [name, shape] of weightShapes(config)) {
    const isOther = isTied && [embedding, head].includes(name) && !checkpoint.has(name);
    if (!isOther) checkShape(checkpoint, name, shape);
  }
}

/** Whether embedding and head are one weight: tied in config.json, and one of them or two that are equal. */
export function areTied(checkpoint: Checkpoint, config: LlamaConfig): boolean {
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
  };
}

/** Of embeddings that are tied, the name that the checkpoint has and the one that means the same tensor. */
function tiedEmbeddings(
  checkpoint: Checkpoint,
  config: LlamaConfig,
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

function checkShape(checkpoint: Checkpoint, name: string, wanted: readonly number[]): void {
  const { shape } = checkpoint.spec(name);
  if (shape.join() === wanted.join()) return;
  const keys = shapeKeys[name.split('.').at(-2)!] ?? 'hidden_size';
  const shapes = `is [${shape.join(', ')}], but config.json makes it [${wanted.join(', ')}]`;
  throw new DataError(`${checkpoint.dir}: tensor "${name}" ${shapes}: ${keys}`);
}

/** A parameter on the backend, and the first of its numbers that became infinite where f16 was asked for. */
function load(
  backend: Backend,
  checkpoint: Checkpoint,
  name: string,
  spec: Spec,
): { weight: Tensor; beyondF16?: number } {
  const { dtype } = checkpoint.spec(name);
  let beyondF16: number | undefined;
  function* chunks(): Generator<Float32Array | Uint16Array> {
    for (const bytes of checkpoint.readChunks(name, chunkBytes)) {
      if (spec.dtype === 'f16') {
        const halves = toFloat16(dtype, bytes);
        beyondF16 ??= overflowed(halves, () => toFloat32(dtype, bytes));
        yield halves;
      } else yield toFloat32(dtype, bytes);
    }
  }
  const weight = tensorFromChunks(backend, spec, chunks());
  return { weight, beyondF16 };
}

/** The first finite number that is infinite in f16. */
function overflowed(halves: Uint16Array, values: () => Float32Array): number | undefined {
  // Nearly never there, so the bits are looked through for ±∞ before the numbers are made.
  if (!halves.includes(0x7c00) && !halves.includes(0xfc00)) return undefined;
  return values().find((x, i) => (halves[i] & 0x7fff) === 0x7c00 && Number.isFinite(x));
}
