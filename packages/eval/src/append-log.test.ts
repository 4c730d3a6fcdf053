import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openAppendLog } from './append-log.ts';
import { temporaryFile, temporaryFolder } from './testing/temporary-folder.ts';

/** Opens the log, appends, closes; gives the lines that were there. */
async function session(path: string, ...appends: unknown[][]): Promise<[string, number][]> {
  const lines: [string, number][] = [];
  const log = await openAppendLog(path, (json, line) => lines.push([json, line]));
  for (const values of appends) await log.append(values);
  await log.close();
  return lines;
}

describe('an append log', () => {
  test('gives back what was appended, a line each, with their numbers', async () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    expect(await session(path, [{ a: 1 }, 'é\n'], [], [[null]])).toEqual([]);
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n"é\\n"\n[null]\n');
    expect(await session(path, [2])).toEqual([
      ['{"a":1}', 1],
      ['"é\\n"', 2],
      ['[null]', 3],
    ]);
    expect((await session(path)).map(([json]) => json)).toEqual(['{"a":1}', '"é\\n"', '[null]', '2']);
  });

  test('however the file was torn, keeps the whole lines and goes on after them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 5 }), fc.nat(), async (values, where) => {
        const text = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
        const torn = text.subarray(0, where % (text.length + 1));
        const path = temporaryFile('log.jsonl', torn);
        const whole = torn.toString('latin1').split('\n').length - 1;
        const kept = values.slice(0, whole).map((value) => JSON.stringify(value));
        expect((await session(path, ['next'])).map(([json]) => json)).toEqual(kept);
        expect(readFileSync(path, 'utf8')).toBe([...kept, '"next"', ''].join('\n'));
      }),
      { numRuns: 40 },
    );
  });

  test('reads lines longer than any chunk of the file', async () => {
    const long = 'x'.repeat(300_000);
    const path = join(temporaryFolder(), 'log.jsonl');
    await session(path, [long, 1, long]);
    appendFileSync(path, `"${long}`);
    expect((await session(path)).map(([json]) => json.length)).toEqual([300_002, 1, 300_002]);
    expect(readFileSync(path)).toHaveLength(2 * 300_003 + 2);
  });

  test('writes appends that overlap one after the other, each whole', async () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    const log = await openAppendLog(path, () => {});
    const sizes = [900_000, 1, 700_000, 2, 600_000, 3];
    await Promise.all(sizes.map((size) => log.append(['y'.repeat(size)])));
    await log.close();
    expect((await session(path)).map(([json]) => json.length - 2)).toEqual(sizes);
  });

  test('appends nothing more once a write has failed, as its line may be torn', async () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    const log = await openAppendLog(path, () => {});
    await log.append([1]);
    await log.close();
    await expect(log.append([2])).rejects.toThrow();
    await expect(log.append([3])).rejects.toThrow();
    expect(readFileSync(path, 'utf8')).toBe('1\n');
  });

  test('throws what the reader throws, and leaves the file as it is', async () => {
    const path = temporaryFile('log.jsonl', '1\n2\ntorn');
    const refuse = (json: string) => {
      if (json === '2') throw new RangeError('no 2');
    };
    await expect(openAppendLog(path, refuse)).rejects.toThrow('no 2');
    expect(readFileSync(path, 'utf8')).toBe('1\n2\ntorn');
  });

  test('throws where its folder is not there', async () => {
    await expect(openAppendLog(join(temporaryFolder(), 'no/log.jsonl'), () => {})).rejects.toThrow('ENOENT');
  });

  test('without a path keeps nothing', async () => {
    const log = await openAppendLog(null, () => expect.unreachable());
    await log.append([1]);
    await log.close();
  });

  test('has in its file what was appended, before it is closed', async () => {
    const path = join(temporaryFolder(), 'log.jsonl');
    const log = await openAppendLog(path, () => {});
    await log.append(['here']);
    expect(readFileSync(path, 'utf8')).toBe('"here"\n');
    await log.close();
  });
});
