import type { Completion, Problem } from './benchmark.ts';
import { extractCode } from './extract-code.ts';

/**
 * What is judged of a completion: `stop-list` what is before the first of the problem's stop texts,
 * `blank-line` what is before the first blank line after its first line, `fenced` the code in the fenced
 * blocks of an answer in chat form (see extractCode), `none` all of it.
 */
export const truncations = ['stop-list', 'blank-line', 'fenced', 'none'] as const;
export type Truncation = (typeof truncations)[number];

/**
 * The part of a completion that is kept of its text: always a beginning of it, in which nothing is left to
 * cut, and with `fenced` all of it. The first line continues the prompt's last, so that it is not a blank
 * line even where it is empty.
 */
export function truncate(text: string, truncation: Truncation, stop: readonly string[]): string {
  switch (truncation) {
    case 'none':
    case 'fenced':
      return text;
    case 'blank-line': {
      const blank = /\n[^\S\n]*\n/.exec(text);
      return blank ? text.slice(0, blank.index) : text;
    }
    case 'stop-list': {
      const ends = stop.map((token) => text.indexOf(token)).filter((at) => at >= 0);
      return text.slice(0, Math.min(text.length, ...ends));
    }
  }
}

/** What is judged of the completion; whole programs are left as they are. */
export function truncateCompletion(
  completion: Completion,
  problem: Problem,
  truncation: Truncation,
): Completion {
  if (completion.kind === 'program') return completion;
  if (truncation === 'fenced') return extractCode(completion, problem);
  return { kind: 'completion', text: truncate(completion.text, truncation, problem.stop) };
}
