import { DataError } from '@flex/base';
import type { Tokenizer } from './tokenizer.ts';

/** How a model is asked for what stands between two texts. */
export interface Infill {
  /** The ids of a prompt that the text between `prefix` and `suffix` continues. */
  prompt(prefix: string, suffix: string): number[];
  /** The ids that end such a text: the end of a text, and what a file or another gap begins with. */
  readonly endIds: readonly number[];
}

interface InfillFormat {
  /** The tokens before the prefix, between the two, and after the suffix. */
  readonly marks: readonly [prefix: string, suffix: string, middle: string];
  /** Other tokens that end the text between. */
  readonly ends: readonly string[];
  /** The prefix begins as a text does, with SentencePiece's space in front. */
  readonly prefixBegins?: boolean;
}

const formats: readonly InfillFormat[] = [
  // Code Llama (Rozière et al. 2023).
  { marks: ['\u2581<PRE>', '\u2581<SUF>', '\u2581<MID>'], ends: ['\u2581<EOT>'], prefixBegins: true },
  // Qwen2.5-Coder (Hui et al. 2024); CodeGemma (2024) has the same three.
  {
    marks: ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'],
    ends: ['<|endoftext|>', '<|fim_pad|>', '<|repo_name|>', '<|file_sep|>', '<|file_separator|>'],
  },
  // StarCoder (Li et al. 2023), StarCoder2 and Granite Code.
  {
    marks: ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'],
    ends: ['<|endoftext|>', '<fim_pad>', '<repo_name>', '<file_sep>', '<filename>'],
  },
  // SantaCoder (Ben Allal et al. 2023).
  { marks: ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'], ends: ['<|endoftext|>', '<fim-pad>'] },
  // DeepSeek-Coder (Guo et al. 2024): a hole stands where the text between is wanted.
  { marks: ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'], ends: ['<|EOT|>'] },
];

/**
 * Prompts for infilling, `PREFIX prefix SUFFIX suffix MIDDLE` behind what every text begins with, with the tokens
 * that the vocabulary has for it, and the spaces that the model's makers trained it on. Throws DataError for
 * a tokenizer that has no such tokens.
 */
export function openInfill(tokenizer: Tokenizer): Infill {
  const idsOf = (names: readonly string[]) => names.map((name) => tokenizer.idOf(name));
  const format = formats.find(({ marks }) => !idsOf(marks).includes(undefined));
  if (!format) {
    throw new DataError(
      'the tokenizer has no tokens for infilling: known are those of Code Llama, CodeGemma, Qwen, StarCoder, SantaCoder, DeepSeek',
    );
  }
  const marks = idsOf(format.marks) as [number, number, number];
  const ends = [tokenizer.eosId, ...idsOf(format.ends), ...marks].filter((id) => typeof id === 'number');
  return {
    prompt: (prefix, suffix) => [
      ...tokenizer.encode(''),
      marks[0],
      ...tokenizer.encode(prefix, { bos: false, continuation: !format.prefixBegins }),
      marks[1],
      ...tokenizer.encode(suffix, { continuation: true }),
      marks[2],
    ],
    endIds: [...new Set(ends)],
  };
}
