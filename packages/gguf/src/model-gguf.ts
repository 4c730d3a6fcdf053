import { type Checkpoint, inverseFrequencies, type ModelConfig, weightShapes } from '@flex/llama';
import { safetensorsDTypes, toFloat32 } from '@flex/tensor/safetensors';
import { ggufArchitecture, ggufName } from './architecture.ts';
import { float32, type GgufType, type GgufValue, ggufTypes, string, uint32 } from './gguf-format.ts';
import { headRows, reordered } from './head-rows.ts';
import { inPieces } from './in-pieces.ts';
import type { GgufTensor } from './write-gguf.ts';

/** A dtype's name in a command, in a file, and its number as `general.file_type`. */
export const ggufDTypes = {
  f32: { type: 'F32', file: 0 },
  f16: { type: 'F16', file: 1 },
  bf16: { type: 'BF16', file: 32 },
  q8_0: { type: 'Q8_0', file: 7 },
} as const satisfies Record<string, { type: GgufType; file: number }>;

export type GgufDType = keyof typeof ggufDTypes;

export interface ModelToExport {
  readonly config: ModelConfig;
  readonly checkpoint: Pick<Checkpoint, 'names' | 'has' | 'spec' | 'readChunks'>;
  /** Whether the head is the embedding. */
  readonly isTied: boolean;
  readonly dtype: GgufDType;
  readonly name: string;
}

/** Numbers in a piece, about. */
const pieceNumbers = 4 * 2 ** 20;

/** What of a model is in a GGUF file, its tokenizer aside. */
export interface ModelGguf {
  readonly metadata: Map<string, GgufValue>;
  readonly tensors: GgufTensor[];
  /** What llama.cpp computes otherwise, a line each. */
  readonly warnings: readonly string[];
}

/**
 * A model as llama.cpp has it: its names, rows of q and k in the order in which it turns them, norms that are
 * 1 + w as what they are, llama3's rotary scaling as a factor a frequency. Matrices are stored as the dtype,
 * those whose rows are no multiple of 32 numbers as F16 in place of Q8_0; norms and biases are F32.
 *
 * Throws ConfigError for what llama.cpp has not.
 */
export function modelGguf({ config, checkpoint, isTied, dtype, name }: ModelToExport): ModelGguf {
  const architecture = ggufArchitecture(config, isTied);
  const tensors: GgufTensor[] = [];
  const factors = frequencyFactors(config);
  if (factors) {
    const shape = [factors.length];
    tensors.push({ name: 'rope_freqs.weight', type: 'F32', shape, values: () => [factors] });
  }
  const [embedding, head] = ['model.embed_tokens.weight', 'lm_head.weight'];
  for (const [own, shape] of weightShapes(config)) {
    if (isTied && own === head) continue;
    const stored = own === embedding && !checkpoint.has(own) ? head : own;
    const type = typeOf(shape, ggufDTypes[dtype].type);
    const rows = architecture.turnsNeighbours ? headRows(own, config) : null;
    const values = () => valuesOf(checkpoint, stored, { rows, block: ggufTypes[type].numbers });
    const offset = own.endsWith('norm.weight') ? config.normOffset : 0;
    const shifted = () => Array.from(values(), (piece) => piece.map((w) => w + offset));
    tensors.push({ name: ggufName(own), type, shape, values: offset === 0 ? values : shifted });
  }
  const warnings = windowWarnings(config);
  return { metadata: modelMetadata(config, architecture.name, { dtype, name }), tensors, warnings };
}

function typeOf(shape: readonly number[], type: GgufType): GgufType {
  if (shape.length === 1) return 'F32';
  return type === 'Q8_0' && shape[1] % ggufTypes.Q8_0.numbers !== 0 ? 'F16' : type;
}

/** A weight's numbers in pieces of whole heads and whole blocks. */
function valuesOf(
  checkpoint: ModelToExport['checkpoint'],
  name: string,
  { rows, block }: { rows: readonly number[] | null; block: number },
): Iterable<Float32Array> {
  const { dtype, shape } = checkpoint.spec(name);
  const columns = shape[1] ?? 1;
  const together = rows ? rows.length * columns : block;
  const chunks = checkpoint.readChunks(name, pieceNumbers * safetensorsDTypes[dtype]);
  const values = inPieces(chunks, (bytes) => toFloat32(dtype, bytes), together);
  return rows ? reordered(values, rows, columns) : values;
}

/** Of llama3's scaling, by how much each frequency is divided; null for another. */
function frequencyFactors(config: ModelConfig): Float32Array | null {
  if (config.ropeScaling?.type !== 'llama3') return null;
  const plain = inverseFrequencies({ ...config, ropeScaling: null });
  const scaled = inverseFrequencies(config);
  return Float32Array.from(plain, (frequency, i) => frequency / scaled[i]);
}

function windowWarnings({ windows, cachedWindows, modelType }: ModelConfig): string[] {
  const sizes = [...windows, ...cachedWindows].filter((size) => size !== null);
  if (sizes.length === 0) return [];
  const rule = `llama.cpp has no sliding windows for "${modelType}"`;
  return [`${rule}: what it computes beyond ${Math.min(...sizes)} tokens differs`];
}

function modelMetadata(
  config: ModelConfig,
  architecture: string,
  { dtype, name }: Pick<ModelToExport, 'dtype' | 'name'>,
): Map<string, GgufValue> {
  const { norm, headDim } = config;
  const own = {
    vocab_size: uint32(config.vocabSize),
    context_length: uint32(config.maxPositions),
    embedding_length: uint32(config.hiddenSize),
    block_count: uint32(config.layers),
    feed_forward_length: uint32(config.intermediateSize),
    'attention.head_count': uint32(config.heads),
    'attention.head_count_kv': uint32(config.kvHeads),
    'attention.key_length': uint32(headDim),
    'attention.value_length': uint32(headDim),
    [norm === 'rms' ? 'attention.layer_norm_rms_epsilon' : 'attention.layer_norm_epsilon']: float32(
      config.normEps,
    ),
    'rope.dimension_count': uint32(headDim),
    'rope.freq_base': float32(config.ropeTheta),
    ...scalingMetadata(config),
  };
  return new Map<string, GgufValue>([
    ['general.architecture', string(architecture)],
    ['general.type', string('model')],
    ['general.name', string(name)],
    ['general.file_type', uint32(ggufDTypes[dtype].file)],
    ['general.quantization_version', uint32(2)],
    ...Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value] as const),
  ]);
}

/** Linear scaling and yarn; llama3's is in the factors of the frequencies. */
function scalingMetadata({ ropeScaling: scaling }: ModelConfig): Readonly<Record<string, GgufValue>> {
  if (scaling?.type !== 'linear' && scaling?.type !== 'yarn') return {};
  const own = { 'rope.scaling.type': string(scaling.type), 'rope.scaling.factor': float32(scaling.factor) };
  if (scaling.type === 'linear') return own;
  return { ...own, 'rope.scaling.original_context_length': uint32(scaling.originalMaxPositions) };
}
