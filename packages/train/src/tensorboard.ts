import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { makeOwnFolder, onDisk, openOwnFile, writeAll } from '@flex/base';
import type { Callback } from './callback.ts';

/** Writes scalars where TensorBoard reads them. */
export interface EventWriter {
  /** The event file. */
  readonly path: string;
  /** Appends the values of a step, by their tags. `seconds` is the wall time since 1970, by default now. */
  scalars(step: number, values: Readonly<Record<string, number>>, seconds?: number): void;
}

/**
 * Writes the numbers of every line of a run to an event file in the folder, held-out losses before the first
 * update as those of step 0. A run that goes on takes back later events.
 */
export function tensorBoard(folder: string): Callback {
  let events: EventWriter;
  return {
    onStart({ step }) {
      rewindEvents(folder, step);
      events = openEvents(folder);
    },
    onEval({ step }, losses) {
      if (step === 0) events.scalars(0, scalarsOf({ eval: losses }));
    },
    onLine: ({ step }, line) => events.scalars(step, scalarsOf(line)),
  };
}

/** The numbers of a line by their tags: `loss`, and `eval/mbpp.jsonl 511-600` of those a level below. */
function scalarsOf(line: Readonly<Record<string, unknown>>): Record<string, number> {
  const scalars: Record<string, number> = {};
  for (const [name, value] of Object.entries(line)) {
    if (typeof value === 'number' && name !== 'step') scalars[name] = value;
    if (typeof value !== 'object' || value === null) continue;
    for (const [inner, number] of Object.entries(value)) {
      if (typeof number === 'number') scalars[`${name}/${inner}`] = number;
    }
  }
  return scalars;
}

/** How the names of event files begin. */
const prefix = 'events.out.tfevents';

/** Begins an event file of its own in the folder, which is made if need be. Throws DataError for links. */
export function openEvents(folder: string, seconds = Date.now() / 1000): EventWriter {
  mkdirSync(dirname(folder), { recursive: true });
  makeOwnFolder(folder);
  const path = join(folder, `${prefix}.${seconds.toFixed(3)}.${hostname()}.${process.pid}`);
  append(path, versionEvent(seconds));
  return {
    path,
    scalars: (step, values, now = Date.now() / 1000) => append(path, scalarEvent(step, values, now)),
  };
}

function append(path: string, event: Uint8Array): void {
  const file = openOwnFile(path);
  try {
    onDisk(path, () => writeAll(file, frame(event)));
  } finally {
    closeSync(file);
  }
}

/** Takes back the events of steps after `step`, and a torn last one, from all event files in the folder. */
function rewindEvents(folder: string, step: number): void {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(prefix)) : [];
  for (const path of names.map((name) => join(folder, name))) {
    const bytes = readFileSync(path);
    let end = 0;
    while (end + 16 <= bytes.length) {
      const length = Number(bytes.readBigUInt64LE(end));
      const next = end + length + 16;
      if (next > bytes.length || stepOf(bytes.subarray(end + 12, next - 4)) > step) break;
      end = next;
    }
    if (end < bytes.length) onDisk(path, () => truncateSync(path, end));
  }
}

/** A TFRecord: u64 length, masked CRC of it, the data, masked CRC of these; all little-endian. */
export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  // Castagnoli's polynomial 0x1EDC6F41, its bits reversed.
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** The CRC-32C (Castagnoli) of bytes, as RFC 3720 has it: a whole number below 2³². */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** TFRecord's mask: the CRC turned right by 15 bits, plus a constant, so that no CRC is taken of a CRC. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

// The messages are protocol buffers: a field is its number and wire type in one varint, then its value.

/** Event { double wall_time = 1; string file_version = 3 } */
function versionEvent(seconds: number): Uint8Array {
  return Buffer.concat([double(1, seconds), bytes(3, Buffer.from('brain.Event:2'))]);
}

/** Event { wall_time = 1; int64 step = 2; Summary { repeated Value { tag = 1; float = 2 } = 1 } = 5 } */
function scalarEvent(step: number, values: Readonly<Record<string, number>>, seconds: number): Uint8Array {
  const summary = Object.entries(values).map(([tag, value]) =>
    bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
  );
  return Buffer.concat([double(1, seconds), whole(2, step), bytes(5, Buffer.concat(summary))]);
}

/** The step of an event that `versionEvent` or `scalarEvent` has made: 0 where it says none. */
function stepOf(event: Uint8Array): number {
  // A key and the wall time lie before it.
  let at = 9;
  if (event[at++] !== 2 * 8) return 0;
  let step = 0;
  for (let scale = 1; ; scale *= 128) {
    step += (event[at] % 128) * scale;
    if (event[at++] < 128) return step;
  }
}

function double(field: number, value: number): Uint8Array {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return Buffer.concat([varint(field * 8 + 1), data]);
}

function float(field: number, value: number): Uint8Array {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([varint(field * 8 + 5), data]);
}

function whole(field: number, value: number): Uint8Array {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

function bytes(field: number, data: Uint8Array): Uint8Array {
  return Buffer.concat([varint(field * 8 + 2), varint(data.length), data]);
}

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
function varint(value: number): Uint8Array {
  const digits: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128);
  digits.push(rest);
  return Uint8Array.from(digits);
}
