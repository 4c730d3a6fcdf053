import { duplicateKey, parseJson } from '@flex/base';

/** Element types of a safetensors file that are read and written, each with its bytes an element. */
export const safetensorsDTypes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type SafetensorsDType = keyof typeof safetensorsDTypes;

/** What a file's header says of one tensor. Bytes count from the start of the file. */
export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** Longest header allowed, in bytes: the reference library's limit. */
export const maxHeaderBytes = 100_000_000;

/** A reason for which a header is refused; the reader adds the file's name. */
type Fail = (what: string) => never;

/**
 * The header of a safetensors file, whose tensors tile the data exactly: without holes, overlaps or a rest.
 *
 * `json` is the header's bytes, `fileBytes` the size of the whole file. Calls `fail` with one line, which
 * names the tensor, what is wrong and what would be right. Format: https://huggingface.co/docs/safetensors
 */
export function parseHeader(json: Uint8Array, fileBytes: number, fail: Fail): Header {
  const entries = parseObject(json, fail);
  const dataStart = 8 + json.length;
  const metadata = parseMetadata(entries.get('__metadata__'), fail);
  entries.delete('__metadata__');
  const found: [string, TensorInfo][] = [];
  for (const [name, entry] of entries) found.push([name, parseTensor(name, entry, dataStart, fail)]);
  found.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);

  let end = dataStart;
  let previous = 'the header';
  for (const [name, { offset, bytes }] of found) {
    if (offset !== end) {
      const how = offset < end ? 'overlaps' : 'leaves a hole after';
      const starts = `it starts at byte ${offset - dataStart} of the data`;
      fail(`tensor "${name}" ${how} ${previous}: ${starts}, must start at ${end - dataStart}`);
    }
    end += bytes;
    previous = `tensor "${name}"`;
  }
  if (end > fileBytes) {
    fail(`the file is cut off: ${previous} ends at byte ${end}, the file has ${fileBytes} bytes`);
  }
  if (end < fileBytes) {
    fail(
      `${fileBytes - end} bytes follow ${previous}; the file must end at byte ${end}, it has ${fileBytes}`,
    );
  }
  return { metadata, tensors: new Map(found) };
}

/** The members of the header's JSON object, whose names differ. */
function parseObject(json: Uint8Array, fail: Fail): Map<string, unknown> {
  let text: string;
  let content: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
    content = parseJson(text, 'it');
  } catch (cause) {
    return fail(`the header is not JSON in UTF-8 (${(cause as Error).message}); is this a safetensors file?`);
  }
  if (!isObject(content) || text[0] !== '{') fail('the header is not a JSON object, which starts with {');
  const twice = duplicateKey(text, content);
  if (twice !== undefined) fail(`the header has the key "${twice}" twice; each may come once`);
  return new Map(Object.entries(content as object));
}

function parseMetadata(entry: unknown, fail: Fail): Record<string, string> {
  if (entry === undefined) return {};
  if (!isObject(entry)) return fail('"__metadata__" is not an object of strings');
  const wrong = Object.entries(entry).find(([, value]) => typeof value !== 'string');
  if (wrong) fail(`"__metadata__" has ${show(wrong[1])} under "${wrong[0]}"; it must be a string`);
  return entry as Record<string, string>;
}

function parseTensor(name: string, entry: unknown, dataStart: number, fail: Fail): TensorInfo {
  const tensor = `tensor "${name}"`;
  if (!isObject(entry)) return fail(`${tensor} is ${show(entry)}; it must be {dtype, shape, data_offsets}`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(safetensorsDTypes, dtype)) {
    const known = Object.keys(safetensorsDTypes).join(', ');
    return fail(`${tensor} has dtype ${show(dtype)}; known are ${known}`);
  }
  if (!isCounts(shape))
    return fail(`${tensor} has shape ${show(shape)}; it must be a list of whole numbers ≥ 0`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    return fail(`${tensor} has data_offsets ${show(offsets)}; they must be [begin, end], 0 ≤ begin ≤ end`);
  }
  const known = dtype as SafetensorsDType;
  const needed = tensorBytes(known, shape);
  const bytes = offsets[1] - offsets[0];
  if (needed !== bytes) {
    const takes = Number.isSafeInteger(needed) ? needed : 'too many';
    fail(`${tensor} is ${known}${show(shape)}, which takes ${takes} bytes; its data_offsets span ${bytes}`);
  }
  return { dtype: known, shape, offset: dataStart + offsets[0], bytes };
}

/** Bytes of a tensor: the product of the axes times the bytes of an element. */
export function tensorBytes(dtype: SafetensorsDType, shape: readonly number[]): number {
  return shape.reduce((product, axis) => product * axis, safetensorsDTypes[dtype]);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A JSON value as a message shows it: whole, unless it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
