import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import fc from 'fast-check';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { type FollowedLines, followLines } from './follow-lines.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-watch-lines-'));
afterAll(() => rmSync(folder, { recursive: true }));

let path = '';
let taken: string[] = [];
let restarts = 0;
let file: FollowedLines;
let files = 0;

function follow(refuse: string | null = null) {
  path = join(folder, String(files++));
  taken = [];
  restarts = 0;
  file = followLines(path, {
    restart() {
      taken = [];
      restarts++;
    },
    line(text, number) {
      if (text === refuse) throw new DataError(`line ${number} is refused`);
      taken.push(text);
      expect(number).toBe(taken.length);
    },
  });
}
beforeEach(() => follow());

/** What a reader of the whole file has. */
const wholeLines = () => readFileSync(path, 'utf8').split('\n').slice(0, -1);

const text = fc.string({ unit: fc.constantFrom('a', 'ä', '名', '\n', '0', ','), maxLength: 40 });
const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('append' as const), text }) },
  fc.record({ kind: fc.constant('cut' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  // As a run that goes on does: lines are taken back, and others come in their place before anybody looks.
  fc.record({
    kind: fc.constant('rewind' as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    text,
  }),
  fc.record({ kind: fc.constant('replace' as const), text }),
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('poll' as const) }) },
);

test('whatever is appended, cut, replaced or taken back, what is taken are the whole lines of the file', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
      follow();
      writeFileSync(path, '');
      let marks = 0;
      for (const one of operations) {
        const size = readFileSync(path).length;
        if (one.kind === 'append') appendFileSync(path, one.text);
        else if (one.kind === 'poll') await file.poll();
        else if (one.kind === 'replace') {
          rmSync(path);
          writeFileSync(path, one.text);
        } else {
          // Cut between characters; what comes instead is other text, as times of updates are.
          const before = readFileSync(path, 'utf8');
          const kept = before.slice(0, Math.floor(one.share * before.length));
          truncateSync(path, Buffer.byteLength(kept));
          if (one.kind === 'rewind' && size > 0)
            appendFileSync(path, `${'x'.repeat(size)}${marks++}\n${one.text}`);
        }
      }
      await file.poll();
      expect(taken).toEqual(wholeLines());
    }),
    { numRuns: 200 },
  );
});

test('a file that is not there yet, or no more, has no lines', async () => {
  expect(await file.poll()).toBe(false);
  expect(file.written).toBe(null);
  writeFileSync(path, 'a\n');
  expect(await file.poll()).toBe(true);
  expect(taken).toEqual(['a']);
  rmSync(path);
  expect(await file.poll()).toBe(true);
  expect({ taken, restarts, written: file.written }).toEqual({ taken: [], restarts: 1, written: null });
});

test('a line without its end is taken when it has one, once', async () => {
  writeFileSync(path, '{"step":1}\n{"st');
  await file.poll();
  expect(taken).toEqual(['{"step":1}']);
  appendFileSync(path, 'ep":2}\n');
  await file.poll();
  await file.poll();
  expect({ taken, restarts }).toEqual({ taken: ['{"step":1}', '{"step":2}'], restarts: 0 });
});

test('lines longer than a piece are whole, and others after them', async () => {
  const long = 'ä'.repeat(700_000);
  writeFileSync(path, `a\n${long}\nb\n${long}`);
  await file.poll();
  expect(taken.map((line) => line.length)).toEqual([1, 700_000, 1]);
});

test('a line that is refused is told once, and the file is read anew when it has changed', async () => {
  follow('bad');
  writeFileSync(path, 'a\nbad\nb\n');
  await expect(file.poll()).rejects.toThrow('line 2 is refused');
  expect(await file.poll()).toBe(false);
  appendFileSync(path, 'c\n');
  await expect(file.poll()).rejects.toThrow('line 2 is refused');
  writeFileSync(path, 'a\nb\nc\nd\n');
  await file.poll();
  expect(taken).toEqual(['a', 'b', 'c', 'd']);
});

test('a folder in its place is an error in words', async () => {
  mkdirSync(path);
  await expect(file.poll()).rejects.toThrow(/is a folder, and must be a file/);
});
