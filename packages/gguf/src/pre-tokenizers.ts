import { ConfigError } from '@flex/base';
import * as z from 'zod';

/** `pre_tokenizer` of a tokenizer.json. */
export const preTokenizerSchema = z.looseObject({
  type: z.string(),
  get pretokenizers() {
    return z.array(preTokenizerSchema).optional();
  },
  pattern: z.looseObject({ Regex: z.string().optional(), String: z.string().optional() }).optional(),
});
type Part = z.infer<typeof preTokenizerSchema>;

/** What a byte-level tokenizer splits a text by before it merges, one after the other. */
type Splits = readonly string[];

const llama3 = (numbers: string): string =>
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${numbers}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** llama.cpp's names of them. The words of GPT-2 are `ByteLevel` itself. */
const names: readonly (readonly [name: string, splits: Splits])[] = [
  ['gpt-2', ['ByteLevel']],
  ['starcoder', ['Digits', 'ByteLevel']],
  ['llama-bpe', [llama3(String.raw`\p{N}{1,3}`)]],
  ['qwen2', [llama3(String.raw`\p{N}`)]],
  ['deepseek-coder', ['[\r\n]', String.raw`\s?\p{L}+`, String.raw`\s?\p{P}+`, '[一-龥ࠀ-一가-퟿]+', 'Digits']],
];

/**
 * llama.cpp's name of the way in which a byte-level tokenizer splits a text. Throws ConfigError for one that
 * it has no name for here: what it computes would be other tokens.
 */
export function preTokenizerName(path: string, preTokenizer: Part | null | undefined): string {
  const splits = partsOf(preTokenizer).flatMap(splitOf);
  const found = names.find(([, known]) => JSON.stringify(known) === JSON.stringify(splits));
  if (found) return found[0];
  const known = names.map(([name]) => name).join(', ');
  throw new ConfigError(
    `${path}: splits a text by ${JSON.stringify(splits)}, which is none of those that llama.cpp has: ${known}`,
  );
}

function partsOf(part: Part | null | undefined): readonly Part[] {
  if (!part) return [];
  return part.type === 'Sequence' ? (part.pretokenizers ?? []).flatMap(partsOf) : [part];
}

function splitOf(part: Part): Splits {
  if (part.type === 'ByteLevel' && part.add_prefix_space !== true)
    return part.use_regex === false ? [] : ['ByteLevel'];
  if (part.type === 'Digits' && part.individual_digits === true) return ['Digits'];
  const text = part.pattern?.Regex ?? part.pattern?.String;
  const isPlain = part.type === 'Split' && part.behavior === 'Isolated' && !part.invert;
  // What would not be found among the known ones is shown as it is.
  return [isPlain && text !== undefined ? text : JSON.stringify(part)];
}
