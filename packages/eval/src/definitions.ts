import type { LanguageId } from '@flex/judge';

/** A name as a part of a pattern, and what must not follow a whole one. */
type Pattern = (name: string) => string;

const typed: Pattern = (name) =>
  `^\\s*(?!return\\b|else\\b|new\\b|throw\\b|assert\\b)[\\w:<>,.&*?[\\] ]*[\\w>&*\\]][ &*]+${name}\\s*\\((?!.*;\\s*$)`;
const javascript: Pattern = (name) =>
  `\\bfunction\\b\\s*\\*?\\s*${name}(?!\\w)|^\\s*(?:export\\s+)?(?:const|let|var)\\s+${name}\\s*[=:]|^\\s*${name}\\s*=(?!=)`;

/** A line that begins the definition of a function, by language. */
const patterns: Readonly<Record<LanguageId, Pattern>> = {
  py: (name) => `^(?:async\\s+)?def\\s+${name}\\s*\\(|^${name}\\s*=(?!=)`,
  java: typed,
  cpp: typed,
  js: javascript,
  ts: javascript,
  go: (name) => `^func\\s+${name}\\s*[([]`,
  rs: (name) => `\\bfn\\s+${name}\\s*[(<]`,
  rb: (name) => `^\\s*def\\s+(?:self\\.)?${name}(?!\\w)`,
  php: (name) => `\\bfunction\\s+&?${name}\\s*\\(`,
  pl: (name) => `^\\s*sub\\s+${name}(?!\\w)`,
  lua: (name) => `\\bfunction\\s+${name}\\s*\\(|^\\s*(?:local\\s+)?${name}\\s*=\\s*function\\b`,
  sh: (name) => `^\\s*(?:function\\s+)?${name}\\s*\\(\\)|^\\s*function\\s+${name}(?!\\w)`,
  r: (name) => `^\\s*${name}\\s*(?:<-|=)\\s*function\\b`,
  rkt: (name) => `\\(define\\s+\\(?${name}(?![\\w-])`,
};

/** Characters beyond which a line begins no definition: patterns take time by their square. */
const longestLine = 1000;

/**
 * Finds the line, from 0, where code first defines a function of one of these names; gives -1 where it does
 * not.
 */
export function definitionFinder(
  names: readonly string[],
  language: LanguageId,
): (lines: readonly string[]) => number {
  if (names.length === 0) return () => -1;
  const pattern = new RegExp(patterns[language](`(?:${names.join('|')})`));
  return (lines) => lines.findIndex((line) => line.length <= longestLine && pattern.test(line));
}

/**
 * The function whose definition a prompt ends in, and the line where that begins; null where it ends in none.
 */
export function openDefinition(
  lines: readonly string[],
  language: LanguageId,
): { readonly name: string; readonly line: number } | null {
  const pattern = new RegExp(patterns[language]('(\\w+)'));
  for (let line = lines.length - 1; line >= 0; line--) {
    const found = lines[line].length <= longestLine ? pattern.exec(lines[line]) : null;
    const name = found?.slice(1).find((group) => group !== undefined);
    if (name !== undefined) return { name, line };
    if (/^\S/.test(lines[line])) return null;
  }
  return null;
}
