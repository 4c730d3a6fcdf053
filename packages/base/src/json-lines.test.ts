import { appendFileSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { maxTextBytes } from './files.ts';
import { openJsonLog, readJsonLines } from './json-lines.ts';
import { temporaryFile, temporaryFolder } from './testing/temporary-folder.ts';

/** Opens the log, appends, closes; gives the values that were there. */
function session(path: string, ...appends: unknown[][]): unknown[] {
  const found: unknown[] = [];
  const log = openJsonLog(path, ({ value }) => found.push(value));
  for (const values of appends) log.append(...values);
  log.close();
  return found;
}

const values = (path: string) => Array.from(readJsonLines(path), ({ value }) => value);

describe('a log of JSON Lines', () => {
  test('gives back what was appended, a line each, with its place', () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    expect(session(path, [{ a: 1 }, 'é\n'], [], [[null]])).toEqual([]);
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n"é\\n"\n[null]\n');
    expect(session(path, [2])).toEqual([{ a: 1 }, 'é\n', [null]]);
    expect([...readJsonLines(path)]).toEqual([
      { value: { a: 1 }, where: `${path}:1`, end: 8 },
      { value: 'é\n', where: `${path}:2`, end: 15 },
      { value: [null], where: `${path}:3`, end: 22 },
      { value: 2, where: `${path}:4`, end: 24 },
    ]);
  });

  test('however the file was torn, keeps the whole lines and goes on after them', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), fc.nat(), (all, where) => {
        const texts = all.map((value) => `${JSON.stringify(value)}\n`);
        const text = Buffer.from(texts.join(''));
        const torn = text.subarray(0, where % (text.length + 1));
        const path = temporaryFile('log.jsonl', torn);
        const kept = texts.slice(0, torn.toString('latin1').split('\n').length - 1);
        expect(values(path)).toEqual(kept.map((line) => JSON.parse(line)));
        expect(session(path, ['next'])).toHaveLength(kept.length);
        expect(readFileSync(path, 'utf8')).toBe([...kept, '"next"\n'].join(''));
      }),
      { numRuns: 40 },
    );
  });

  test('reads lines longer than any piece of the file', () => {
    const long = 'x'.repeat(3_000_000);
    const path = join(temporaryFolder(), 'log.jsonl');
    session(path, [long, 1, long]);
    appendFileSync(path, `"${long}`);
    expect(values(path)).toEqual([long, 1, long]);
  });

  test('refuses a line that does not end, with its place', () => {
    const path = temporaryFile('log.jsonl', '1\n');
    truncateSync(path, 4 * maxTextBytes);
    expect(() => values(path)).toThrow(`${path}:2: is longer than 32 MiB`);
  });

  test('gives the lines up to the one that its reader says no to, and takes all after off the file', () => {
    const path = temporaryFile('log.jsonl', '1\n2\n3\n1\n');
    openJsonLog(path, ({ value }) => Number(value) < 3).close();
    expect(readFileSync(path, 'utf8')).toBe('1\n2\n');
  });

  test('has in its file what was appended, before it is closed', () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    const log = openJsonLog(path, () => {});
    log.append('here');
    expect(readFileSync(path, 'utf8')).toBe('"here"\n');
    log.close();
  });

  test('appends nothing more once a write has failed, as its line may be torn', () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    const log = openJsonLog(path, () => {});
    log.append(1);
    log.close();
    expect(() => log.append(2)).toThrow('EBADF');
    expect(() => log.append()).toThrow('EBADF');
    expect(readFileSync(path, 'utf8')).toBe('1\n');
  });

  test('throws what the reader throws, and leaves the file as it is', () => {
    const path = temporaryFile('log.jsonl', '1\n2\ntorn');
    const refuse = ({ value, where }: { value: unknown; where: string }) => {
      if (value === 2) throw new RangeError(`${where}: no 2`);
    };
    expect(() => openJsonLog(path, refuse)).toThrow(`${path}:2: no 2`);
    expect(readFileSync(path, 'utf8')).toBe('1\n2\ntorn');
  });

  test('refuses a line that is not JSON in one line, and leaves the file as it is', () => {
    const path = temporaryFile('log.jsonl', '1\n{"a":\t}\ntorn');
    const open = () => openJsonLog(path, () => {});
    expect(open).toThrow(DataError);
    expect(open).toThrow(new RegExp(`^${path}:2: is not JSON: .*$`));
    expect(readFileSync(path, 'utf8')).toBe('1\n{"a":\t}\ntorn');
  });

  test('throws where its folder is not there', () => {
    expect(() => openJsonLog(join(temporaryFolder(), 'no/log.jsonl'), () => {})).toThrow('ENOENT');
  });

  test('without a path keeps nothing', () => {
    const log = openJsonLog(null, () => expect.unreachable());
    log.append(1);
    log.close();
  });
});
