import { ConfigError } from '@flex/base';
import { boundedPattern, type Pattern } from './bounded-pattern.ts';

/** The next piece of a Python pattern, in the group that says what to do with it. */
const piece = new RegExp(
  [
    String.raw`\[(?<negated>\^|(?!\^))(?<set>(?:\\.|[^\\])(?:\\.|[^\]\\])*)\]`,
    String.raw`(?<same>\((?!\?)|\(\?(?::|<?[=!])|[)|.^$]|\\[dDsSwWbB])`,
    String.raw`(?<repeat>(?:[*+?]|\{(?=[\d,])\d*,?\d*\})[?+]?)`,
    String.raw`\\(?<edge>[AZ])`,
    String.raw`\(\?P<(?<name>[A-Za-z_]\w*)>`,
    String.raw`(?<comment>\(\?#[^)]*\))`,
    String.raw`\\(?<escaped>[^A-Za-z0-9])`,
    String.raw`(?<literal>[^\\([])`,
  ].join('|'),
  'suy',
);

/** What has no exact counterpart in JavaScript, by its first characters; the last one is anything else. */
const unreadable: readonly (readonly [RegExp, string])[] = [
  [/^\(\?>/, 'an atomic group'],
  [/^\(\?P=|^\\[1-9]/, 'a reference to a group'],
  [/^\(\?\(/, 'a condition'],
  [/^\(\?-?[a-zA-Z]+/, 'an inline flag'],
  [/^\\.?/, 'an escape'],
  [/^.{1,3}/su, 'a part'],
];

/**
 * The JavaScript pattern that matches the texts that a pattern of Python's `re` matches from their beginning
 * (`re.match`), or whole (`re.fullmatch`), among texts that are paths of modules: ASCII, not empty, in one
 * line.
 *
 * What both languages read alike is taken over; `\A`, `\Z`, `(?P<name>…)`, `(?#…)`, `{,n}` and what is
 * special in JavaScript alone are translated. Throws ConfigError, in one line, for possessive repeats, atomic
 * groups, inline flags, conditions, references to groups and rare escapes, and for what is no pattern.
 */
export function pythonPattern(source: string, extent: 'match' | 'fullmatch'): Pattern {
  let translated = '';
  piece.lastIndex = 0;
  for (let at = 0; at < source.length; at = piece.lastIndex) {
    const groups = piece.exec(source)?.groups;
    if (!groups) {
      const [begin, what] = unreadable.find(([begin]) => begin.test(source.slice(at))) ?? unreadable[0];
      throw unsupported(begin.exec(source.slice(at))![0], what);
    }
    translated += translate(groups);
  }
  try {
    return boundedPattern(new RegExp(`^(?:${translated})${extent === 'fullmatch' ? '$' : ''}`, 'u'));
  } catch (cause) {
    throw new ConfigError((cause as Error).message.replace(/^.*: /s, ''), { cause });
  }
}

const unsupported = (text: string, what: string) =>
  new ConfigError(`"${text}" is ${what} of Python's that is not supported`);

function translate(groups: Readonly<Record<string, string | undefined>>): string {
  const { set, negated, same, repeat, edge, name, comment } = groups;
  if (same !== undefined) return same;
  if (set !== undefined) return `[${negated}${set.replace(/\\.|[\][^]/gsu, member)}]`;
  if (edge !== undefined) return edge === 'A' ? '^' : '$';
  if (name !== undefined) return `(?<${name}>`;
  if (comment !== undefined) return '';
  if (repeat === undefined)
    return (groups.escaped ?? groups.literal!).replace(/[\^$\\.*+?()[\]{}|]/u, '\\$&');
  if (/.\+$/.test(repeat)) throw unsupported(repeat, 'a possessive repeat');
  return repeat.replace('{,', '{0,');
}

/** An escape or a bracket in a set. */
function member(text: string): string {
  if (/^\\[dDsSwW]$/.test(text)) return text;
  if (/^\\[A-Za-z0-9]$/.test(text)) throw unsupported(text, 'an escape');
  return text.replace(/^\\?(?<char>.)$/su, (_, char: string) =>
    /[\\\][^-]/.test(char) ? `\\${char}` : char,
  );
}
