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
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
