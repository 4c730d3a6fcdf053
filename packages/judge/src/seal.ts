import { DataError } from '@flex/base';
import type { Language, Parts } from './language.ts';

/** Seals a program with a statement after its tests, where an interpreter reads all before it runs any. */
export function atEnd(statement: (nonce: string, parts: Parts) => string): Language['seal'] {
  return (parts, nonce) => `${parts.source}${parts.code}\n${statement(nonce, parts)}\n`;
}

export interface MainShape {
  /** Finds every `main(…) {`; the last one counts. */
  readonly head: RegExp;
  /** Finds what closes it, at the end of the text. */
  readonly tail: RegExp;
  readonly first: string;
  readonly last: string;
}

/**
 * Seals a program with statements first and last in its main function, which its tests end with. Throws
 * DataError for tests of another shape.
 */
export function inMain({ head, tail, first, last }: MainShape): Language['seal'] {
  return ({ source, code }) => {
    const text = source + code;
    const begin = [...text.matchAll(head)].at(-1);
    const end = tail.exec(text);
    const from = begin ? begin.index + begin[0].length : 0;
    if (!begin || !end || end.index < from) {
      throw new DataError('tests: must end with the main function that runs them');
    }
    return `${text.slice(0, from)} ${first}${text.slice(from, end.index)}${last}\n${text.slice(end.index)}`;
  };
}
