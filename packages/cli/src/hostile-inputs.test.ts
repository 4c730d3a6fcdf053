import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const flex = join(import.meta.dirname, '../bin/flex.mjs');
const mebibyte = 1 << 20;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-hostile-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Tells what the process took, once it ends. The kernel's ru_maxrss would count this process too, which
 * starts it.
 */
const accounting = `data:text/javascript,import { readFileSync } from 'node:fs';
process.on('exit', () => {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  const mebibytes = Number(readFileSync('/proc/self/status', 'utf8').match(/VmHWM:\\s*([0-9]+)/)[1]) / 1024;
  console.error(JSON.stringify({ mebibytes, seconds: (userCPUTime + systemCPUTime) / 1e6 }));
})`.replaceAll('\n', ' ');

/**
 * Runs the command line in a process of its own: its exit code, the lines it wrote on standard error, what
 * it took.
 */
function run(...args: string[]) {
  return new Promise<{ code: unknown; lines: string[]; mebibytes: number; seconds: number }>((resolve) => {
    execFile(
      process.execPath,
      ['--import', accounting, flex, ...args],
      { timeout: 180_000 },
      (error, _, stderr) => {
        const lines = stderr.trim().split('\n');
        resolve({ code: error?.code, ...JSON.parse(lines.pop() ?? ''), lines });
      },
    );
  });
}

/** A gzipped file of a MiB at most, which grows to 16 MiB so many times. */
const grown = (begin: string, filling: string, times: number) =>
  Buffer.concat([
    gzipSync(begin),
    ...Array<Buffer>(times).fill(gzipSync(Buffer.alloc(16 * mebibyte, filling))),
  ]);

const row = '{"task_id":"HumanEval/0","prompt":"';

describe.runIf(process.platform === 'linux')(
  'a hostile file ends in a line that says where, in 5 s of processor time and 300 MiB:',
  () => {
    test.each<[string, () => Uint8Array, string]>([
      ['blanks', () => grown('', ' ', 8), ':1: more than 16 MiB are blank'],
      ['empty lines', () => grown('', '\n', 8), ':17039361: more than 16 MiB are blank'],
      ['one line', () => grown(row, 'a', 64), ':1: a row must not be longer than 32 MiB'],
      ['one element of a list', () => grown(`[${row}`, 'a', 64), ':1: a row must not be longer than 32 MiB'],
      [
        'one line, just short enough',
        () => gzipSync(`${row}${'é'.repeat(15 * mebibyte)}"}`),
        ':1: has the keys',
      ],
      [
        'lists in lists',
        () => Buffer.from(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`),
        ':1: is nested more',
      ],
      ['keys of megabytes', () => Buffer.from(`{"${'\u009b'.repeat(3_000_000)}":1}`), ':1: has the keys'],
    ])('%s', async (name, content, message) => {
      const path = join(folder, `${name.replaceAll(' ', '-')}.jsonl`);
      writeFileSync(path, content());
      const { code, lines, mebibytes, seconds } = await run(
        'eval',
        '--benchmark',
        'humaneval',
        '--data',
        path,
        '--samples',
        path,
      );
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(`flex: ${path}${message}`.replace(/:1: has.*/, ':1: has'));
      expect(lines[0]).not.toMatch(/\p{Cc}/u);
      expect(lines[0].length).toBeLessThan(2500);
      expect(code).toBe(2);
      expect(seconds).toBeLessThan(5);
      expect(mebibytes).toBeLessThan(300);
    });

    test('a pipe and a device', async () => {
      const pipe = join(folder, 'pipe');
      execFileSync('mkfifo', [pipe]);
      for (const path of [pipe, '/dev/zero']) {
        const { code, lines } = await run(
          'eval',
          '--benchmark',
          'humaneval',
          '--data',
          path,
          '--samples',
          path,
        );
        expect({ code, lines }).toEqual({
          code: 2,
          lines: [`flex: ${path}: is neither a file nor a folder`],
        });
      }
    });
  },
);
