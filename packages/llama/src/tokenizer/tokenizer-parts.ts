import type { AddedToken } from './added-tokens.ts';
import type { Part } from './text-splitter.ts';
import type { TokenModel } from './token-model.ts';

/** A tokenizer, whichever file it came from. */
export interface TokenizerParts {
  /** The file, for what there is to say about it. */
  readonly path: string;
  readonly model: TokenModel;
  readonly added: readonly AddedToken[];
  readonly normalizer: Part | null;
  readonly preTokenizer: Part | null;
  /** The tokens that a text begins with by the file's word. */
  readonly opening: readonly string[];
  /** How a token's name is read: GPT-2's characters for bytes, or U+2581 for the space and <0x0A> for a byte. */
  readonly names: 'bytes' | 'spaces';
  /** The space that the normalizer puts in front stands in front of the whole text alone. */
  readonly spaceOnce?: boolean;
  /** The tokens that the file itself gives these names; what the configuration says goes before. */
  readonly named?: { readonly bos_token?: string; readonly eos_token?: string; readonly pad_token?: string };
}
