import { DataError } from '@flex/base';
import { type Backend, type Spec, type Tensor, tensorFromChunks } from '@flex/tensor';
import { toFloat16, toFloat32 } from '@flex/tensor/safetensors';
import { type Checkpoint, openCheckpoint } from './checkpoint-files.ts';
import type { LlamaConfig } from './config.ts';

/** Storage of the frozen matrices. Norms are kept in f32; products accumulate in f32. */
export type WeightDType = 'f32' | 'f16';

/** Output and input size of a linear layer; its weight is stored [out, in]. */
export interface LinearSize {
  readonly out: number;
  readonly in: number;
}

/** Bytes read from the disk at a time. */
const chunkBytes = 16 * 2 ** 20;

/** Module paths of the model's linear layers, without `.weight`, in the order they run; lm_head is the last. */
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

/** The shape each parameter of the checkpoint must have. Tied embeddings have no lm_head of their own. */
function expectedShapes(config: LlamaConfig): Map<string, readonly number[]> {
  const e = config.hiddenSize;
  const shapes = new Map<string, readonly number[]>([['model.embed_tokens.weight', [config.vocabSize, e]]]);
  for (let i = 0; i < config.layers; i++) {
    shapes.set(`model.layers.${i}.input_layernorm.weight`, [e]);
    shapes.set(`model.layers.${i}.post_attention_layernorm.weight`, [e]);
  }
  shapes.set('model.norm.weight', [e]);
  for (const [path, size] of linearSizes(config)) {
    if (path === 'lm_head' && config.tieWordEmbeddings) continue;
    shapes.set(`${path}.weight`, [size.out, size.in]);
  }
  return shapes;
}

/**
 * Uploads the weights of a model directory, 16 MiB at a time: matrices as `dtype` (rounded once to nearest even),
 * norms as f32. Keys are the checkpoint's own names. Throws DataError for a missing or misshapen tensor.
 */
export function loadWeights(
  backend: Backend,
  dir: string,
  config: LlamaConfig,
  dtype: WeightDType,
): Map<string, Tensor> {
  const checkpoint = openCheckpoint(dir);
  const weights = new Map<string, Tensor>();
  try {
    for (const [name, shape] of expectedShapes(config)) {
      checkShape(checkpoint, name, shape);
      const spec: Spec = { shape, dtype: shape.length === 1 ? 'f32' : dtype };
      weights.set(name, tensorFromChunks(backend, spec, chunks(checkpoint, name, spec)));
    }
  } catch (error) {
    for (const t of weights.values()) t.dispose();
    throw error;
  } finally {
    checkpoint.close();
  }
  return weights;
}

function checkShape(checkpoint: Checkpoint, name: string, wanted: readonly number[]): void {
  const { shape } = checkpoint.spec(name);
  if (shape.join() !== wanted.join()) {
    throw new DataError(
      `${checkpoint.dir}: tensor "${name}" is [${shape.join(', ')}], but config.json makes it [${wanted.join(', ')}]`,
    );
  }
}

function* chunks(checkpoint: Checkpoint, name: string, spec: Spec): Generator<Float32Array | Uint16Array> {
  const { dtype } = checkpoint.spec(name);
  for (const bytes of checkpoint.readChunks(name, chunkBytes)) {
    yield spec.dtype === 'f16' ? toFloat16(dtype, bytes) : toFloat32(dtype, bytes);
  }
}
