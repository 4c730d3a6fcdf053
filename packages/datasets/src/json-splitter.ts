const [quote, backslash, comma, newline] = [34, 92, 44, 10];
const opening = new Set([91, 123]);
const closing = new Set([93, 125]);
const blanks = new Set([32, 9, 13, newline]);

/** A direct part of a JSON list or object: an element, or a member with its key. */
export interface JsonPart {
  readonly bytes: Buffer;
  /** The line it begins in, from 1. */
  readonly line: number;
}

/** Takes a list or an object in chunks and gives its direct parts, each as soon as it is whole. */
export interface JsonSplitter {
  push(chunk: Buffer): JsonPart[];
  /** The line that is read. */
  readonly line: number;
  /** Bytes kept of a part that is not yet whole. */
  readonly heldBytes: number;
  /** Whether the list or object was closed, with nothing but blanks after it. */
  closed(): boolean;
}

/**
 * Splits a JSON list or object into its direct parts without parsing it, so that lists larger than memory can
 * be read part by part. Only brackets, strings and commas are looked at; the parts may still be malformed.
 * An empty part, as in `[1,]`, is given too. The text begins in `firstLine`.
 */
export function newJsonSplitter(firstLine = 1): JsonSplitter {
  let depth = 0;
  let inString = false;
  let escaped = false;
  let line = firstLine;
  let parts = 0;
  let partLine = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  let opened = false;
  let stray = false;

  return {
    push(chunk) {
      const whole: JsonPart[] = [];
      let from = 0;
      const finish = (end: number): void => {
        whole.push({ bytes: Buffer.concat([...held, chunk.subarray(from, end)]), line: partLine || line });
        held = [];
        heldBytes = 0;
        from = end + 1;
        partLine = 0;
        parts++;
      };
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at];
        if (byte === newline) line++;
        if (inString) {
          if (escaped) escaped = false;
          else if (byte === backslash) escaped = true;
          else if (byte === quote) inString = false;
          continue;
        }
        if (blanks.has(byte)) continue;
        if (depth === 0) {
          if (opened || !opening.has(byte)) stray = true;
          opened = true;
          depth = 1;
          from = at + 1;
          continue;
        }
        if (closing.has(byte)) {
          depth--;
          // `[]` has no parts, `[1,]` has an empty second one.
          if (depth === 0 && (parts > 0 || partLine > 0)) finish(at);
          continue;
        }
        if (byte === comma && depth === 1) {
          finish(at);
          continue;
        }
        partLine ||= line;
        if (byte === quote) inString = true;
        else if (opening.has(byte)) depth++;
      }
      if (depth > 0) {
        held.push(chunk.subarray(from));
        heldBytes += chunk.length - from;
      }
      return whole;
    },
    get line() {
      return line;
    },
    get heldBytes() {
      return heldBytes;
    },
    closed: () => opened && depth === 0 && !stray,
  };
}

/**
 * The text of a member's value in the JSON text of an object, exactly as written there: numbers keep the
 * digits that JSON.parse would round away. Undefined where there is none; the last where there are several.
 */
export function memberText(json: string, key: string): string | undefined {
  let found: string | undefined;
  for (const { bytes } of newJsonSplitter().push(Buffer.from(json))) {
    const member = bytes.toString();
    // Longer than any key that is asked for: V8's stack for a repeated group has an end.
    const name = /^\s{0,999}("(?:[^"\\]|\\.){0,999}")\s{0,999}:/.exec(member);
    if (name && JSON.parse(name[1]) === key) found = member.slice(name[0].length).trim();
  }
  return found;
}
