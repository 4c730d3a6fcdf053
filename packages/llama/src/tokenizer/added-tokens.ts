import { newTrie } from './trie.ts';

/** A token that is found in a text as it is spelt, before the text is cut into others. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Not written where text is shown, such as the end of a text. */
  readonly special: boolean;
  /** It is found in the normalised text, itself normalised, and not in the text as it came. */
  readonly normalized: boolean;
  /** It is found only where no letter, digit or underscore stands beside it. */
  readonly single_word: boolean;
  /** The white space before it is part of it. */
  readonly lstrip: boolean;
  /** The white space after it is part of it. */
  readonly rstrip: boolean;
}

/** A part of a text: an added token, or the text between two. */
export interface Section {
  readonly text: string;
  readonly token?: AddedToken;
  /** Where it begins. */
  readonly at: number;
}

const wordBefore = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAfter = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const isSpace = (character: string): boolean => /\p{White_Space}/u.test(character);

/** Cuts a text at the added tokens in it: at the first, and of those that begin there, the longest. */
export function newAddedTokenSplitter(
  tokens: Iterable<readonly [content: string, AddedToken]>,
): (text: string) => Section[] {
  const trie = newTrie([...tokens].filter(([content]) => content !== ''));
  return (text) => {
    const sections: Section[] = [];
    let done = 0;
    for (let at = 0; at < text.length; at++) {
      let length = 0;
      let token: AddedToken | undefined;
      trie.find(text, at, (longer, found) => {
        length = longer;
        token = found;
      });
      if (!token) continue;
      let [begin, end] = [at, at + length];
      at = end - 1;
      // Two units reach over a character of two.
      const besideWord = wordBefore.test(text.slice(Math.max(0, begin - 2), begin));
      if (token.single_word && (besideWord || wordAfter.test(text.slice(end, end + 2)))) continue;
      if (token.lstrip) while (begin > done && isSpace(text[begin - 1])) begin--;
      if (token.rstrip) while (end < text.length && isSpace(text[end])) end++;
      if (begin > done) sections.push({ text: text.slice(done, begin), at: done });
      sections.push({ text: text.slice(begin, end), token, at: begin });
      done = end;
    }
    if (done < text.length) sections.push({ text: text.slice(done), at: done });
    return sections;
  };
}
