import { DataError } from '../../errors.ts';
import type { Parts } from './runner.ts';

export interface MainShape {
  /** Finds every `main(…) {`; the last one counts. */
  readonly head: RegExp;
  /** Finds what closes it, at the end of the text. */
  readonly tail: RegExp;
  readonly first: string;
  readonly last: string;
}

/**
 * The program with statements put first and last into its main function, which its tests end with. Throws
 * DataError for tests of another shape.
 */
export function inMain({ source, code }: Parts, { head, tail, first, last }: MainShape): string {
  const text = source + code;
  const begin = [...text.matchAll(head)].at(-1);
  const end = tail.exec(text);
  const from = begin ? begin.index + begin[0].length : 0;
  if (!begin || !end || end.index < from) {
    throw new DataError('tests: must end with the main function that runs them');
  }
  return `${text.slice(0, from)} ${first}${text.slice(from, end.index)}${last}\n${text.slice(end.index)}`;
}
