const longest = 200;

/** A text from a program, however long, as one short line that cannot disturb a terminal. */
export function oneLine(text: string): string {
  const line = text
    .slice(0, 8 * longest)
    .replace(/[\s\p{C}]+/gu, ' ')
    .trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** A value as JSON in at most 60 characters, for messages. */
export function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (jsonOf(value) ?? String(value));
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

/** What is nested more deeply than JSON can be written is shown as its beginning. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return Array.isArray(value) ? '[...' : '{...';
  }
}

/**
 * A text from a file or a model, with what could steer a terminal or turn the reading direction written as
 * escapes: control characters but tabs, and Unicode's format characters and line separators.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\t') return character;
    return `\\u{${character.codePointAt(0)!.toString(16)}}`;
  });
}
