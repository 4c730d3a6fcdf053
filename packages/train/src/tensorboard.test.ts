import { appendFileSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RunContext } from './callback.ts';
import type { StepMetrics } from './run.ts';
import { crc32c, frame, maskedCrc, openEvents, tensorBoard } from './tensorboard.ts';

/** The data of a file's records, each checked against its length and its sums. */
function records(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedCrc(bytes.subarray(at, at + 8)));
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedCrc(data));
    found.push(data);
    at += length + 16;
  }
  return found;
}

/** The fields of a protocol-buffer message by their numbers, as they are on the wire. */
function fields(bytes: Buffer): Map<number, (number | Buffer)[]> {
  const found = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const read: Record<number, () => number | Buffer> = {
    0: varint,
    1: () => take(8).readDoubleLE(),
    2: () => take(varint()),
    5: () => take(4).readFloatLE(),
  };
  while (at < bytes.length) {
    const key = varint();
    const field = key >> 3;
    found.set(field, [...(found.get(field) ?? []), read[key & 7]()]);
  }
  return found;
}

/** An event's time, step and scalars. */
function event(bytes: Buffer) {
  const message = fields(bytes);
  const [summary = Buffer.alloc(0)] = message.get(5) ?? [];
  const values = (fields(summary as Buffer).get(1) ?? []).map((value) => {
    const parts = fields(value as Buffer);
    return [String(parts.get(1)?.[0]), parts.get(2)?.[0]];
  });
  return { seconds: message.get(1)?.[0], step: message.get(2)?.[0], values: Object.fromEntries(values) };
}

describe('CRC-32C', () => {
  test.each([
    ['the check string', Buffer.from('123456789'), 0xe3069283],
    ['nothing', Buffer.alloc(0), 0],
    ['32 zeros (RFC 3720)', Buffer.alloc(32), 0x8a9136aa],
    ['32 times 0xff (RFC 3720)', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['0 to 31 (RFC 3720)', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ])('of %s', (_, bytes, sum) => {
    expect(crc32c(bytes)).toBe(sum);
  });
});

test('a frame gives its data back', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (data) => {
      expect(records(Buffer.from(frame(data)))).toEqual([Buffer.from(data)]);
    }),
  );
});

describe('an event file', () => {
  test('begins with the version of its format', () => {
    const { path } = openEvents(temporaryFolder(), 1700000000.5);
    const [first] = records(readFileSync(path)).map(fields);
    expect(first.get(1)).toEqual([1700000000.5]);
    expect(String(first.get(3)?.[0])).toBe('brain.Event:2');
  });

  test('holds the scalars that were written, in their order', () => {
    const tag = fc.string({ minLength: 1, unit: 'grapheme' }).filter((name) => name !== '__proto__');
    const step = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    const values = fc.dictionary(tag, fc.float({ noNaN: true }), {
      minKeys: 1,
      maxKeys: 5,
      noNullPrototype: true,
    });
    const folder = temporaryFolder();
    fc.assert(
      fc.property(fc.array(fc.tuple(step, values), { maxLength: 4 }), fc.nat(), (written, seconds) => {
        const events = openEvents(join(folder, 'runs'), seconds);
        const start = records(readFileSync(events.path)).length;
        for (const [at, scalars] of written) events.scalars(at, scalars, seconds);
        const read = records(readFileSync(events.path)).slice(start).map(event);
        expect(read).toEqual(written.map(([at, scalars]) => ({ seconds, step: at, values: scalars })));
      }),
    );
  });

  test('has a name that TensorBoard looks for', () => {
    expect(openEvents(join(temporaryFolder(), 'new')).path).toMatch(/new\/events\.out\.tfevents\.\d+/);
  });
});

test("a run's events have the numbers of a line, and of what it nests, by their tags", async () => {
  const folder = temporaryFolder();
  const { onStart, onLine } = tensorBoard(folder);
  const line = { loss: 2, eval: { held: 3 }, note: 'x', gone: null };
  const run = { step: 1 } as RunContext;
  await onStart?.(run);
  await onLine?.(run, { step: 1, ...line } as unknown as StepMetrics);
  const events = readFileSync(join(folder, readdirSync(folder)[0]), 'latin1');
  for (const tag of ['loss', 'eval/held']) expect(events).toContain(tag);
  for (const tag of ['step', 'note', 'gone']) expect(events).not.toContain(tag);
});

test('a run that goes on takes back later events, and a torn last one', async () => {
  const folder = temporaryFolder();
  const steps = () =>
    readdirSync(folder).map((name) =>
      records(readFileSync(join(folder, name))).flatMap((bytes) => event(bytes).step ?? []),
    );
  const events = openEvents(folder, 1);
  for (const step of [0, 1, 127, 128, 300, 301]) events.scalars(step, { loss: step });
  appendFileSync(events.path, frame(Buffer.from('torn')).subarray(0, 15));
  const { onStart, onEval, onLine } = tensorBoard(folder);
  await onStart?.({ step: 300 } as RunContext);
  expect(steps()).toEqual([[0, 1, 127, 128, 300], []]);
  await onEval?.({ step: 301 } as RunContext, { held: 2 });
  await onLine?.({ step: 301 } as RunContext, { step: 301, loss: 2 } as StepMetrics);
  expect(steps()).toEqual([[0, 1, 127, 128, 300], [301]]);
});

test('held-out losses before the first update are those of step 0', async () => {
  const folder = temporaryFolder();
  const { onStart, onEval } = tensorBoard(folder);
  await onStart?.({ step: 0 } as RunContext);
  await onEval?.({ step: 0 } as RunContext, { held: 2 });
  const [, first] = records(readFileSync(join(folder, readdirSync(folder)[0]))).map(event);
  expect(first).toMatchObject({ step: 0, values: { 'eval/held': 2 } });
});

test('events are not written through a link', () => {
  const outside = temporaryFolder();
  const folder = join(temporaryFolder(), 'tensorboard');
  symlinkSync(outside, folder);
  expect(() => openEvents(folder)).toThrow('is a link');
  expect(readdirSync(outside)).toEqual([]);
});
