import type { ScoredToken, Tokenizer, TokenLogprob } from '@flex/llama';
import type { PartToken } from './parts.ts';

/** Alternatives that may be asked for. */
export const mostAlternatives = 20;

/** The text of a token by itself; bytes that are no whole character as OpenAI writes them, `bytes:\xe2\x80`. */
function textOf(tokenizer: Tokenizer, id: number): string {
  const bytes = bytesOf(tokenizer, id);
  try {
    return utf8.decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

/** None for an id that the model has beyond its tokenizer's. */
function bytesOf(tokenizer: Tokenizer, id: number): Uint8Array {
  return tokenizer.bytesOf(id) ?? new Uint8Array();
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Log-probabilities as completions of texts have them: an entry a token in each list. */
export interface TextLogprobs {
  readonly tokens: readonly string[];
  /** ln p; null for the first token of a prompt. */
  readonly token_logprobs: readonly (number | null)[];
  /** The likeliest tokens and the token itself, by their texts. */
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
}

export function textLogprobs(tokenizer: Tokenizer, tokens: readonly PartToken[]): TextLogprobs {
  return {
    tokens: tokens.map(({ id }) => textOf(tokenizer, id)),
    token_logprobs: tokens.map(({ scored }) => scored?.logprob ?? null),
    top_logprobs: tokens.map(({ scored }) => scored && topOf(tokenizer, scored)),
    text_offset: tokens.map(({ offset }) => offset),
  };
}

/** Of two tokens with one text, such as a byte and the letter that it is, the likelier one has its place. */
function topOf(tokenizer: Tokenizer, scored: ScoredToken): Record<string, number> {
  const top = new Map<string, number>();
  for (const { id, logprob } of [...scored.alternatives, scored]) {
    const text = textOf(tokenizer, id);
    top.set(text, Math.max(logprob, top.get(text) ?? Number.NEGATIVE_INFINITY));
  }
  return Object.fromEntries(top);
}

interface ChatToken {
  readonly token: string;
  readonly logprob: number;
  /** Those that the token stands for, which may begin or end inside a character. */
  readonly bytes: readonly number[];
}

/** Log-probabilities as chats have them. */
export interface ChatLogprobs {
  readonly content: readonly (ChatToken & { readonly top_logprobs: readonly ChatToken[] })[];
  readonly refusal: null;
}

export function chatLogprobs(tokenizer: Tokenizer, tokens: readonly PartToken[]): ChatLogprobs {
  const chatToken = ({ id, logprob }: TokenLogprob): ChatToken => ({
    token: textOf(tokenizer, id),
    logprob,
    bytes: [...bytesOf(tokenizer, id)],
  });
  const content = tokens.flatMap(({ scored }) =>
    scored ? [{ ...chatToken(scored), top_logprobs: scored.alternatives.map(chatToken) }] : [],
  );
  return { content, refusal: null };
}
