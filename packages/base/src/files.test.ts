import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { makeOwnFolder, maxTextBytes, openOwnFile, openRegular, readWhole } from './files.ts';
import { openJsonLog } from './json-lines.ts';
import { temporaryFile, temporaryFolder } from './testing/temporary-folder.ts';
import { writeAtomic } from './write-atomic.ts';

/** A pipe that nobody writes to. */
function pipe(): string {
  const path = join(temporaryFolder(), 'pipe');
  execFileSync('mkfifo', [path]);
  return path;
}

describe('a file that is read', () => {
  test('is no folder, pipe or device, and opening does not wait', () => {
    expect(() => openRegular(temporaryFolder())).toThrow('is a folder, and must be a file');
    for (const path of [pipe(), '/dev/zero']) {
      expect(() => readWhole(path)).toThrow(DataError);
      expect(() => readWhole(path)).toThrow(`${path}: is a pipe or a device, and must be a file`);
    }
  });

  test('whole has a bound', () => {
    const path = temporaryFile('a.json', 'abc');
    expect(readWhole(path).toString()).toBe('abc');
    expect(readWhole(path, 3)).toHaveLength(3);
    expect(() => readWhole(path, 2)).toThrow(`${path}: has 3 bytes; at most 2 are read`);
    truncateSync(path, maxTextBytes + 1);
    expect(() => readWhole(path)).toThrow(`at most ${maxTextBytes} are read`);
  });
});

describe('nothing is written through a link', () => {
  const kept = 'what was there\n';

  test('that has the name of a file of ours', () => {
    const outside = temporaryFile('outside', kept);
    const [symbolic, hard, dangling] = ['a', 'b', 'c'].map((name) => join(temporaryFolder(), name));
    symlinkSync(outside, symbolic);
    linkSync(outside, hard);
    symlinkSync(`${outside}-new`, dangling);
    for (const path of [symbolic, hard, dangling]) {
      expect(() => openOwnFile(path)).toThrow(DataError);
      expect(() => openJsonLog(path, () => {})).toThrow(
        `${path}: is a link, and nothing is written through one`,
      );
    }
    expect(readFileSync(outside, 'utf8')).toBe(kept);
    expect(existsSync(`${outside}-new`)).toBe(false);
    const path = pipe();
    expect(() => openOwnFile(path)).toThrow('is a pipe or a device');
  });

  test('whole files take the place of one, or of one planted where they are written first', () => {
    const outside = temporaryFile('outside', kept);
    const folder = temporaryFolder();
    symlinkSync(outside, join(folder, 'a.json'));
    symlinkSync(outside, join(folder, `.a.json.${process.pid}.partial`));
    writeAtomic(join(folder, 'a.json'), 'new');
    expect(readFileSync(join(folder, 'a.json'), 'utf8')).toBe('new');
    expect(readFileSync(outside, 'utf8')).toBe(kept);
  });

  test('that has the name of a folder of ours; a folder that is there is taken', () => {
    const folder = temporaryFolder();
    const inner = join(folder, 'inner');
    makeOwnFolder(inner);
    makeOwnFolder(inner);
    expect(statSync(inner).isDirectory()).toBe(true);
    mkdirSync(join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'));
    expect(() => makeOwnFolder(join(folder, 'link'))).toThrow('is a link');
    expect(() => makeOwnFolder(temporaryFile('a', ''))).toThrow('must be a folder');
  });
});

test('a file of ours is made, read and appended to', () => {
  const path = join(temporaryFolder(), 'a');
  closeSync(openOwnFile(path));
  expect(readFileSync(path, 'utf8')).toBe('');
});
