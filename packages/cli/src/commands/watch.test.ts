import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type Ended, flex } from '../testing/flex.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-watch-command-'));
const run = join(folder, 'run');

beforeAll(() => {
  mkdirSync(run);
  const manifest = { kind: 'flex-run', steps: 3, extended: [], seeds: { 'train.seed': 0 } };
  writeFileSync(join(run, 'manifest.json'), JSON.stringify(manifest));
  vi.stubEnv('XDG_STATE_HOME', folder);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});
afterEach(() => vi.restoreAllMocks());

/** What is at an address, by a connection of its own. */
const textOf = (address: string) =>
  new Promise<string>((resolve, reject) => {
    const asked = get(address, { agent: false }, async (answer) => resolve(await text(answer)));
    asked.on('error', reject);
  });

/** Runs it until the page has been asked for, then asks it to end. */
async function watched(...args: string[]): Promise<Ended & { readonly page: string }> {
  let page = '';
  const ended = flex('watch', ...args);
  const write = vi.mocked(process.stdout.write);
  for (let tries = 0; page === '' && tries < 500; tries++) {
    await new Promise((later) => setTimeout(later, 20));
    const address = /http:[^"\n]+/.exec(write.mock.calls.map(([text]) => String(text)).join(''))?.[0];
    if (address) page = await textOf(address);
  }
  process.emit('SIGINT', 'SIGINT');
  return { ...(await ended), page };
}

test('serves the page until it is asked to end', async () => {
  const { code, stdout, stderr, page } = await watched(run);
  expect(code).toBe(130);
  expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:2\d{4}\/[\w-]{32}\/\n$/);
  expect(stderr).toBe('only who knows this address sees the page, on this machine alone; Ctrl-C ends it\n');
  expect(page).toMatch(/^<!doctype html>/);
  const again = await watched(run, '--quiet');
  expect([again.stdout, again.stderr]).toEqual([stdout, '']);
  await expect(textOf(stdout.trim())).rejects.toThrow('ECONNREFUSED');
});

test('tells its address to programs', async () => {
  const { stdout } = await watched(run, '--json', '--port', '0');
  expect(JSON.parse(stdout)).toEqual({
    folder: run,
    address: expect.stringMatching(/^http:\/\/127\.0\.0\.1:/),
  });
});

test('says in one line what is wrong', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  for (const [args, words] of [
    [[join(folder, 'none')], /none/],
    [[folder], `${folder}: holds neither a run nor a study`],
    [[run, '--port', '65536'], /must be a whole number from 0 to 65535/],
    [[run, '--port', '-1'], /whole number/],
    [[run, '--port', String(port)], `port ${port}: is taken; give another --port, or none`],
    [[], /missing required argument 'folder'/],
  ] as const) {
    const { code, stdout, stderr } = await flex('watch', ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(words);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  }
  taken.close();
});
