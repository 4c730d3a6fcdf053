import type { Completion, Problem } from './benchmark.ts';

/**
 * How a completion is cut: `stop-list` before the first of the problem's stop texts, `blank-line` before the
 * first blank line after its first line, `none` not at all.
 */
export const truncations = ['stop-list', 'blank-line', 'none'] as const;
export type Truncation = (typeof truncations)[number];

/**
 * The part of a completion that is kept: always a beginning of it, in which nothing is left to cut. The first
 * line continues the prompt's last, so that it is not a blank line even where it is empty.
 */
export function truncate(text: string, truncation: Truncation, stop: readonly string[]): string {
  switch (truncation) {
    case 'none':
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

/** The completion, cut; whole programs are left as they are. */
export function truncateCompletion(
  { kind, text }: Completion,
  { stop }: Problem,
  truncation: Truncation,
): Completion {
  return { kind, text: kind === 'program' ? text : truncate(text, truncation, stop) };
}
