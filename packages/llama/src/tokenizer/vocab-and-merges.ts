import { DataError, parseJson, readWhole } from '@flex/base';
import type { Part } from './text-splitter.ts';
import { readTokenizerJson } from './tokenizer-json.ts';
import type { TokenizerParts } from './tokenizer-parts.ts';

const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
const qwen2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** What vocab.json and merges.txt leave unsaid: how texts are normalised and split before their merges. */
const splittings: Readonly<Record<string, { normalizer: Part | null; pre_tokenizer: Part }>> = {
  'GPT-2': { normalizer: null, pre_tokenizer: { ...bytes, use_regex: true } },
  StarCoder: {
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Digits', individual_digits: true },
        { ...bytes, use_regex: true },
      ],
    },
  },
  Qwen2: {
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: qwen2 }, behavior: 'Isolated', invert: false },
        bytes,
      ],
    },
  },
};

/** Whose tokenizer two files are. */
interface Owner {
  readonly tokenizerClass?: string | null;
  readonly modelType?: string;
}

/**
 * GPT-2's vocab.json and merges.txt, read as `tokenizerClass` of tokenizer_config.json reads them.
 * Throws DataError for a class that is not known to have its own two files, or for malformed files.
 */
export const readVocabAndMerges = (vocabPath: string, mergesPath: string, owner: Owner): TokenizerParts =>
  readTokenizerJson(vocabPath, vocabAndMerges(vocabPath, mergesPath, owner));

/** The same files as the content of a tokenizer.json. Throws as `readVocabAndMerges` does. */
export function vocabAndMerges(
  vocabPath: string,
  mergesPath: string,
  { tokenizerClass, modelType }: Owner,
): object {
  const splitting = splittings[splittingOf(vocabPath, tokenizerClass, modelType)];
  const vocab = parseJson(readWhole(vocabPath, mostBytes).toString(), vocabPath);
  const lines = readWhole(mergesPath, mostBytes).toString().split(/\r?\n/);
  const merges = lines.filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')));
  return {
    ...splitting,
    added_tokens: [],
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges },
  };
}

const mostBytes = 1 << 27;

function splittingOf(path: string, tokenizerClass?: string | null, modelType?: string): string {
  switch (tokenizerClass?.replace(/Fast$/, '')) {
    case 'GPT2Tokenizer':
      return modelType === 'gpt_bigcode' || modelType === 'starcoder2' ? 'StarCoder' : 'GPT-2';
    case 'Qwen2Tokenizer':
      return 'Qwen2';
    default:
      throw new DataError(
        `${path}: how a ${tokenizerClass ?? 'tokenizer of no class'} splits texts is not known; of vocab.json and merges.txt, GPT2Tokenizer's and Qwen2Tokenizer's are`,
      );
  }
}
