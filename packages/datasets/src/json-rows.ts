import { DataError, maxTextBytes, maxTextSize, parseJson } from '@flex/base';
import { type Content, maxGrowth } from './content.ts';
import { type JsonPart, newJsonSplitter } from './json-splitter.ts';
import { isBlank, newLineSplitter } from './line-splitter.ts';

/** One value of a file: a line of JSON Lines, an element of one JSON list, or a row of Parquet. */
export interface JsonRow {
  /** The path as it was given, and the line, or the row of Parquet, from 1: `data/mbpp.jsonl:12`. */
  readonly where: string;
  /** The value's own JSON text; Python writes NaN, Infinity and -Infinity into it, for which `value` has null. */
  readonly text: string;
  readonly value: unknown;
}

/**
 * The values of JSON Lines, or of one JSON list. Only one value is held at a time. Throws DataError with path
 * and line at what is not UTF-8 or JSON, and at what is beyond the bounds: a row of more than maxTextBytes,
 * 16 MiB of blanks, more than the content may have. Blank lines are passed over.
 */
export async function* jsonRows(content: Content, path: string): AsyncGenerator<JsonRow> {
  for await (const { bytes, line } of split(content, path)) {
    const where = `${path}:${line}`;
    const text = decode(bytes, where);
    yield { where, text, value: parseJson(withoutNonFinite(text), where) };
  }
}

/** The JSON with null for Python's numbers that are none, outside of its texts. */
function withoutNonFinite(json: string): string {
  if (!/NaN|Infinity/.test(json)) return json;
  return json.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
    found.startsWith('"') ? found : 'null',
  );
}

/** The text of UTF-8. Throws DataError, which names the place. */
export function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new DataError(`${where}: is not UTF-8: ${(error as Error).message}`);
  }
}

const maxBlankBytes = 1 << 24;

/** Lines, or the elements of a list where the first character that is not blank opens one. */
async function* split({ chunks, mostBytes }: Content, path: string): AsyncGenerator<JsonPart> {
  const lines = newLineSplitter();
  let list: ReturnType<typeof newJsonSplitter> | undefined;
  let isBegun = false;
  let bytes = 0;
  let blanks = 0;
  for await (const whole of chunks) {
    const chunk = bytes === 0 ? withoutMark(whole) : whole;
    const ink = chunk.findIndex((byte) => !isBlank(byte));
    if (!isBegun && chunk[ink] === 91) {
      yield* lines.push(chunk.subarray(0, ink));
      list = newJsonSplitter(lines.line);
    }
    yield* list ? list.push(isBegun ? chunk : chunk.subarray(ink)) : lines.push(chunk);
    isBegun ||= ink >= 0;

    bytes += whole.length;
    blanks = ink < 0 ? blanks + chunk.length : 0;
    const { line, heldBytes } = list ?? lines;
    const excess =
      (heldBytes > maxTextBytes && `a row must not be longer than ${maxTextSize}`) ||
      (blanks > maxBlankBytes && `more than ${maxBlankBytes >> 20} MiB are blank`) ||
      (bytes > mostBytes &&
        `the packed file grows to more than ${mostBytes} bytes, ${maxGrowth} times its size; unpack it first`);
    if (excess) throw new DataError(`${path}:${line}: ${excess}`);
  }
  yield* lines.end();
  if (list?.closed() === false) {
    throw new DataError(`${path}: is not one whole JSON list; write a row a line, or close the list with ]`);
  }
}

/** The text without the byte order mark that it may begin with. */
function withoutMark(text: Buffer): Buffer {
  return text.subarray(text.subarray(0, 3).toString() === '\uFEFF' ? 3 : 0);
}
