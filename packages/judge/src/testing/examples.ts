import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DataError } from '@flex/base';
import type { Language } from '../language.ts';

/** What the body of f, which is to give twice its argument plus one, can do. */
export const bodies = ['right', 'wrong', 'raises', 'loops', 'broken', 'exits'] as const;
export type Body = (typeof bodies)[number];

/** A language's example programs. */
export interface Examples {
  /** A source whose f has this body, as far as the tests leave it open. */
  source(body: Body): string;
  /** Tests of f, in the shape that MultiPL-E gives them. */
  readonly tests: string;
  /** A program that prints twice the number that it reads; null where no program runs unchanged. */
  readonly doubles: string | null;
  /** Completions of published problems, by MultiPL-E's names. */
  readonly solutions: ReadonlyMap<string, string>;
}

/** Shell commands that print, a line each, what looks like a nonce and can be read without a debugger. */
const snoop =
  'echo; { cat; cd /proc/$PPID; cat cmdline environ /flex/* /tmp/*; head -c 9999999 exe; env; }' +
  ' 2>/dev/null | grep -aoE [0-9a-f]{32} || true';

/**
 * Reads a language's file of examples: sections that begin with a line `===== NAME`. `source` has a function f
 * with the body BODY; `tests` test it; `right`, `wrong`, `raises`, `loops`, `broken` (does not parse or compile)
 * and `exits` (prints each nonce it can find with the shell's SNOOP, then ends the process with exit code 0) are
 * bodies; `doubles` is a whole program, needed where `plain` is not null; further sections are solutions. Throws
 * DataError where a section is missing.
 */
export function readExamples({ examples, plain }: Language): Examples {
  const file = fileURLToPath(examples);
  const [, ...parts] = readFileSync(file, 'utf8').split(/^===== (.+)\n/m);
  const sections = new Map(parts.flatMap((name, i) => (i % 2 === 0 ? [[name, parts[i + 1]]] : [])));
  const take = (name: string): string => {
    const text = sections.get(name);
    if (text === undefined) throw new DataError(`${file}: has no section "===== ${name}"`);
    sections.delete(name);
    return text;
  };
  const source = take('source');
  const texts = new Map(bodies.map((body) => [body, take(body).trimEnd().replaceAll('SNOOP', snoop)]));
  return {
    source: (body) => source.replace('BODY', () => texts.get(body)!),
    tests: take('tests'),
    doubles: plain === null ? null : take('doubles'),
    solutions: sections,
  };
}
