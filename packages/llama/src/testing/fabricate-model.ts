import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, writeAtomic } from '@flex/base';
import { philox, size } from '@flex/tensor';
import type { FloatDType } from '@flex/tensor/safetensors';
import type { Checkpoint } from '../checkpoint-files.ts';
import { readConfig } from '../config.ts';
import { weightShapes } from '../weights.ts';
import { type WrittenCheckpoint, writeCheckpoint } from '../write-checkpoint.ts';
import { sevenBillionConfigs } from './seven-billion-configs.ts';

const dtypeNames: Readonly<Record<FloatDType, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

export interface FabricateOptions {
  /** Whose widths; `code-llama` if left out. */
  readonly model?: keyof typeof sevenBillionConfigs;
  /** Of the weights; BF16, as Code Llama's are, if left out. */
  readonly dtype?: FloatDType;
  /** Bytes of weights in a file at most; 10 GB if left out. */
  readonly maxShardBytes?: number;
  readonly seed?: number;
  /** Keys of config.json that are not as that model has them, such as `num_hidden_layers`. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/**
 * Writes a Hugging Face directory with the widths of a model of 7B, in shards, with a tokenizer in Code
 * Llama's format: random numbers for weights and random merges for a vocabulary. Matrices are uniform with
 * mean 0 and standard deviation 0.02, norms within a tenth of 1, biases of 0. The same options give the same
 * bytes. Holds 16 MiB of weights at a time. Throws DataError for a folder that holds something.
 */
export function fabricateModel(dir: string, options: FabricateOptions = {}): WrittenCheckpoint {
  const { model = 'code-llama', dtype = 'BF16', maxShardBytes = 10e9, seed = 0 } = options;
  const config = { ...sevenBillionConfigs[model], torch_dtype: dtypeNames[dtype], ...options.config };
  mkdirSync(dir, { recursive: true });
  if (readdirSync(dir).length > 0) throw new DataError(`${dir}: is not empty; name a new folder`);
  const write = (name: string, value: object) =>
    writeAtomic(join(dir, name), `${JSON.stringify(value, null, 2)}\n`);
  write('config.json', config);
  write('generation_config.json', { bos_token_id: config.bos_token_id, eos_token_id: config.eos_token_id });
  write('tokenizer.json', tokenizer(config.vocab_size, seed));
  write('tokenizer_config.json', {
    tokenizer_class: 'CodeLlamaTokenizer',
    ...{ add_bos_token: true, add_eos_token: false },
    ...{ unk_token: '<unk>', bos_token: '<s>', eos_token: '</s>' },
  });
  return writeCheckpoint(dir, randomWeights(dir, seed), { dtype, maxShardBytes });
}

/** Random weights for a directory's configuration, made as they are read. */
function randomWeights(dir: string, seed: number): Pick<Checkpoint, 'names' | 'spec' | 'readChunks'> {
  const config = readConfig(dir);
  const shapes = weightShapes(config);
  if (config.tieWordEmbeddings) shapes.delete('lm_head.weight');
  const names = [...shapes.keys()];
  const spec = (name: string) => {
    const shape = shapes.get(name)!;
    return { dtype: 'F32' as const, shape, bytes: 4 * size(shape) };
  };
  return {
    names: () => names,
    spec,
    *readChunks(name, chunkBytes) {
      const { shape, bytes } = spec(name);
      const reach = shape.length > 1 ? 0.02 * Math.sqrt(3) : 0.1;
      const middle = name.endsWith('norm.weight') ? 1 - config.normOffset : 0;
      const atOnce = Math.floor(chunkBytes / 4);
      const words = new Uint32Array(4);
      for (let start = 0; start < bytes / 4; start += atOnce) {
        philox(words, [seed, 0], [names.indexOf(name), start / atOnce, 0, 0]);
        const values = new Float32Array(Math.min(atOnce, bytes / 4 - start));
        // Marsaglia 2003, "Xorshift RNGs": billions of numbers, of which nothing more is asked.
        let state = words[0] | 1;
        for (let i = 0; i < values.length; i++) {
          state ^= state << 13;
          state ^= state >>> 17;
          state ^= state << 5;
          values[i] = middle + reach * state * 2 ** -31;
        }
        yield new Uint8Array(values.buffer);
      }
    },
  };
}

/** Characters of the vocabulary besides bytes: U+2581 stands for the space. */
const characters = ['▁', ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))];
/** Added behind the vocabulary, for infilling. */
const added = ['▁<PRE>', '▁<SUF>', '▁<MID>', '▁<EOT>'];

/** tokenizer.json of that many tokens: byte fallback, spaces as U+2581, merges of random neighbours. */
function tokenizer(vocabSize: number, seed: number): object {
  const special = ['<unk>', '<s>', '</s>'];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const pieces = [...characters];
  const known = new Set(pieces);
  const merges: [string, string][] = [];
  const wanted = vocabSize - special.length - bytes.length - added.length;
  const words = new Uint32Array(4);
  for (let i = 0; pieces.length < wanted; i++) {
    philox(words, [seed, 1], [i, 0, 0, 0]);
    const [a, b] = [pieces[words[0] % pieces.length], pieces[words[1] % pieces.length]];
    if (known.has(a + b) || a.length + b.length > 16) continue;
    known.add(a + b);
    pieces.push(a + b);
    merges.push([a, b]);
  }
  const tokens = [...special, ...bytes, ...pieces, ...added];
  const addedToken = (content: string) => ({
    ...{ id: tokens.indexOf(content), content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  });
  const bos = { SpecialToken: { id: '<s>', type_id: 0 } };
  const text = { Sequence: { id: 'A', type_id: 0 } };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...special, ...added].map(addedToken),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [bos, text],
      pair: [bos, text, { SpecialToken: { id: '<s>', type_id: 1 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      ...{ dropout: null, unk_token: '<unk>', continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: true, byte_fallback: true, ignore_merges: false },
      vocab: Object.fromEntries(tokens.slice(0, -added.length).map((token, id) => [token, id])),
      merges,
    },
  };
}
