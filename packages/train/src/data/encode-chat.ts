import { DataError } from '@flex/base';
import type { Chat } from '@flex/datasets';
import type { MarkedTokens, TokenizerLike } from './encode.ts';

/** A part of a text, in UTF-16 units. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * The tokens of a chat as the model's template writes it. What is learnt are the assistant's turns: what the
 * template writes after it asked for the turn, up to the end marker and with it, but not the blanks behind
 * that.
 *
 * NUMERICS: the chat is tokenized as one text, and a token is of a turn if a character of it is. Throws
 * DataError, which begins with the row's place, where the template writes the first messages otherwise than
 * as the beginning of the whole, and where the tokens do not give the text back: which tokens are the
 * assistant's is then unknown.
 */
export function encodeChat({ where, messages }: Chat, tokenizer: TokenizerLike): MarkedTokens {
  const render = (count: number, ask: boolean): string => {
    try {
      return tokenizer.chatTemplate().render(messages.slice(0, count), { ask });
    } catch (error) {
      throw error instanceof DataError
        ? new DataError(`${where}: ${error.message}`, { cause: error })
        : error;
    }
  };
  const text = render(messages.length, false);
  const spans = messages.flatMap(({ role }, i): Span[] => {
    if (role !== 'assistant') return [];
    const [before, through] = [render(i, true), render(i + 1, false)];
    if (text.startsWith(through) && through.startsWith(before)) {
      return [{ from: before.length, to: Math.max(before.length, through.trimEnd().length) }];
    }
    throw new DataError(
      `${where}: the model's chat template writes the first ${i + 1} messages otherwise than as the beginning of all ${messages.length}, so which tokens are the assistant's is unknown; split the chat, or take another template`,
    );
  });
  const ids = tokenizer.encode(text, { bos: false });
  const isInside = ({ from, to }: Span) => spans.some((span) => from < span.to && span.from < to);
  return { ids, learnt: placesOf(ids, text, where, tokenizer).map(isInside) };
}

/**
 * Where in the text each token stands: each of those that make a character together, where the character
 * does.
 */
function placesOf(ids: readonly number[], text: string, where: string, tokenizer: TokenizerLike): Span[] {
  const stream = tokenizer.decodeStream({ skipSpecial: false });
  const places: Span[] = [];
  let decoded = '';
  for (const [i, id] of ids.entries()) {
    const piece = stream.push(id);
    const place = { from: decoded.length, to: decoded.length + piece.length };
    decoded += piece;
    if (piece !== '') while (places.length <= i) places.push(place);
  }
  if (decoded + stream.end() === text) return places;
  throw new DataError(
    `${where}: the tokenizer does not give the chat's text back, so its tokens have no place`,
  );
}
