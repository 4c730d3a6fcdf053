import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFolder } from '@flex/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { watchAddress } from './address.ts';
import { type ServeOptions, serveWatch, type WatchServer } from './serve-watch.ts';
import { type FakeStudy, fakeStudy, linesOf, runsOf, writeManifest } from './testing/fake-study.ts';
import { ask, type Listener, listen } from './testing/listen.ts';

let study: FakeStudy;
let keyFolder = '';
const open: { close(): unknown }[] = [];

async function serve(options: ServeOptions = {}, folder = study.folder): Promise<WatchServer> {
  const server = await serveWatch(folder, { port: 0, keyFolder, interval: 20, ...options });
  open.push(server);
  return server;
}
function follow(address: string, columns?: readonly string[]): Listener {
  const listener = listen(address, columns);
  open.push(listener);
  return listener;
}

beforeEach(() => {
  study = fakeStudy(2);
  keyFolder = mkdtempSync(join(tmpdir(), 'flex-watch-key-'));
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  study.remove();
  rmSync(keyFolder, { recursive: true });
});

const [first, second] = runsOf(2);

describe('a study that goes on', () => {
  test('is told from nothing to its end', async () => {
    const { address } = await serve();
    const page = follow(address);
    await page.until(({ rows }) => rows.size === 6);
    expect(page.header).toMatchObject({ kind: 'study', runs: runsOf(2), problem: null, columns: [] });
    expect([...page.rows.values()].every(({ state }) => state === 'waiting')).toBe(true);
    study.begin(first, 60);
    study.write(first, linesOf(1, 10));
    await page.until(({ rows }) => rows.get(first)?.step === 10);
    expect(page.rows.get(first)).toMatchObject({
      state: 'begun',
      steps: 60,
      loss: 0.3,
      heldOutStep: 0,
      seconds: 2.5,
    });
    expect(page.header.usual).toEqual([
      'eval.held.jsonl',
      'loss',
      'penalty',
      'grad_norm',
      'tokens_per_second',
    ]);
    study.write(first, linesOf(11, 60));
    study.end(first, 'done');
    await page.until(({ rows }) => rows.get(first)?.state === 'done' && rows.get(first)?.step === 60);
    expect(page.rows.get(first)?.heldOut).toEqual({ 'held.jsonl': 2.02 });
    await page.until(({ curve }) => curve(first, 'loss').length === 60);
    expect(page.curve(first, 'loss')[59]).toBe(0.05);
    expect(page.curve(first, 'eval.held.jsonl')).toEqual([3, 2.02]);
    expect(page.curve(first, 'lr')).toEqual([]);
    study.fail(second, 'no space is left');
    await page.until(({ rows }) => rows.get(second)?.state === 'failed');
    expect(page.rows.get(second)?.words).toBe('no space is left');
  });

  test('tells runs that a process here writes from those that none does', async () => {
    for (const run of [first, second]) study.begin(run, 60);
    const lock = lockFolder(study.at(first));
    const { address } = await serve();
    const page = follow(address);
    const states = () => [first, second].map((run) => page.rows.get(run)?.state);
    await page.until(() => states().join() === 'running,begun');
    lock.release();
    await page.until(() => states().join() === 'begun,begun');
  });

  test('takes lines back where its run does, though as many come in their place', async () => {
    study.begin(first, 60);
    study.write(first, linesOf(1, 40));
    const { address } = await serve();
    const page = follow(address, ['loss']);
    await page.until(({ curve }) => curve(first, 'loss').length === 40);
    const file = join(study.at(first), 'metrics.jsonl');
    const kept = readFileSync(file, 'utf8').split('\n').slice(0, 21).join('\n');
    writeFileSync(file, `${kept}\n`);
    study.write(
      first,
      linesOf(21, 50, () => 7),
    );
    await page.until(({ curve }) => curve(first, 'loss').length === 50);
    expect(page.curve(first, 'loss').slice(18, 22)).toEqual([0.157895, 0.15, 7, 7]);
    rmSync(study.at(first), { recursive: true });
    await page.until(({ rows }) => rows.get(first)?.state === 'waiting' && rows.get(first)?.step === 0);
    await page.until(({ curve }) => curve(first, 'loss').length === 0);
  });

  test('may grow, and be malformed for a while: what was known stays', async () => {
    study.begin(first, 60);
    study.write(first, linesOf(1, 5));
    const { address } = await serve();
    const page = follow(address);
    await page.until(({ rows }) => rows.get(first)?.step === 5);
    writeFileSync(join(study.folder, 'study.json'), '{"kind": "flex-st');
    await page.until(({ header }) => header.problem !== null);
    expect(page.header.problem).toMatch(/study\.json: is not JSON/);
    expect(page.header.runs).toHaveLength(6);
    study.write(first, linesOf(6, 7));
    await page.until(({ rows }) => rows.get(first)?.step === 7);
    writeManifest(study.folder, 3);
    await page.until(({ header }) => header.runs.length === 9);
    expect(page.header.problem).toBe(null);
    expect(page.rows.get(first)?.step).toBe(7);
  });

  test('with a line that is none says which', async () => {
    study.begin(first, 60);
    study.write(first, linesOf(1, 3));
    writeFileSync(join(study.at(first), 'metrics.jsonl'), '{"loss":1}\n', { flag: 'a' });
    const { address } = await serve();
    const page = follow(address);
    await page.until(({ rows }) => /metrics\.jsonl:5: has no step/.test(rows.get(first)?.words ?? ''));
  });

  test('tells what is not finite as that', async () => {
    study.begin(first, 60);
    study.write(first, [...linesOf(1, 3), { step: 4, loss: null }]);
    const { address } = await serve();
    const page = follow(address);
    await page.until(({ curve }) => curve(first, 'loss').length === 4);
    expect(page.curve(first, 'loss')[3]).toBe(null);
    expect(page.rows.get(first)?.loss).toBe(null);
  });

  test('tells each of two pages what it asked for, all of it, and only what is new', async () => {
    study.begin(first, 3000);
    study.write(first, linesOf(1, 3000));
    const { address } = await serve();
    const one = follow(address, ['loss']);
    const other = follow(address, ['lr', 'grad_norm']);
    await one.until(({ curve }) => curve(first, 'loss').length === 750);
    await other.until(({ curve }) => curve(first, 'grad_norm').length === 750);
    expect(one.curve(first, 'lr')).toEqual([]);
    await one.until(({ header }) => header.read === 6);
    const before = one.bytes;
    study.write(first, linesOf(3001, 3004));
    await one.until(({ rows }) => rows.get(first)?.step === 3004);
    await one.until(({ curve }) => curve(first, 'loss').length === 751);
    expect(one.bytes - before).toBeLessThan(2000);
  });
});

test('one run alone is followed as well', async () => {
  study.begin(first, 20);
  study.write(first, linesOf(1, 20));
  study.end(first, 'interrupted');
  const { address } = await serve({}, study.at(first));
  const page = follow(address);
  await page.until(({ rows }) => rows.get('seed-0')?.step === 20);
  expect(page.header).toMatchObject({ kind: 'run', arms: [], runs: ['seed-0'], title: 'seed-0' });
  expect(page.rows.get('seed-0')).toMatchObject({ state: 'interrupted', arm: null, seed: 0, steps: 20 });
});

test('a folder of neither is refused, and nothing is written into one that is watched', async () => {
  await expect(serve({}, keyFolder)).rejects.toThrow(/holds neither a run nor a study/);
  const before = readdirSync(study.folder, { recursive: true });
  const { address } = await serve();
  const page = follow(address);
  await page.until(({ rows }) => rows.size === 6);
  expect(readdirSync(study.folder, { recursive: true })).toEqual(before);
});

describe('who may look', () => {
  test('knows the token; to others nothing is there', async () => {
    const { address } = await serve();
    const token = new URL(address).pathname.slice(1, -1);
    expect(token).toMatch(/^[\w-]{32}$/);
    const wrong = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
    const paths = [
      '/',
      '/events',
      '/page.mjs',
      `/${wrong}/`,
      `/${token.slice(0, -1)}/`,
      `//${token}/`,
      `/${wrong}/events`,
    ];
    for (const path of paths) {
      const { status, body } = await ask(address, { path });
      expect({ path, status, body }).toEqual({ path, status: 404, body: 'nothing is here\n' });
    }
    expect((await ask(address)).status).toBe(200);
    const redirected = await ask(address, { path: `/${token}` });
    expect([redirected.status, redirected.headers.location]).toEqual([308, `/${token}/`]);
  });

  test('calls this machine by its own name: another name may be rebound to it', async () => {
    const { address } = await serve();
    for (const host of [
      'evil.example',
      'evil.example:80',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '0.0.0.0',
      '10.0.0.1:80',
    ]) {
      expect({ host, status: (await ask(address, { headers: { host } })).status }).toEqual({
        host,
        status: 404,
      });
    }
    for (const host of ['localhost', 'LOCALHOST:99', '127.0.0.1:8080', '[::1]:8080']) {
      expect((await ask(address, { headers: { host } })).status).toBe(200);
    }
  });

  test('is on this machine: no other interface is listened on', async () => {
    const { address } = await serve();
    const port = Number(new URL(address).port);
    const others = Object.values(networkInterfaces()).flatMap((list = []) =>
      list.filter(({ internal, scopeid }) => !internal && !scopeid).map((one) => one.address),
    );
    for (const host of [...others, '127.0.0.2']) {
      const isOpen = await new Promise<boolean>((resolve) => {
        const socket = connect({ host, port }, () => resolve(true));
        socket.on('error', () => resolve(false));
        open.push({ close: () => socket.destroy() });
      });
      expect({ host, isOpen }).toEqual({ host, isOpen: false });
    }
  });

  test('gets the files of the page and no others, by GET alone', async () => {
    const { address } = await serve();
    const { pathname } = new URL(address);
    const html = (await ask(address)).body;
    const named = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(4);
    const imported = (text: string) =>
      [...text.matchAll(/from '\.\/([\w-]+\.mjs)'/g)].map(([, name]) => name);
    const found = new Set<string>();
    for (const name of named) {
      if (found.has(name)) continue;
      found.add(name);
      const { status, headers, body } = await ask(address, { path: `${pathname}${name}` });
      expect({ name, status }).toEqual({ name, status: 200 });
      expect(headers['content-type']).toMatch(/^(text\/(css|javascript)|image\/svg\+xml); charset=utf-8$/);
      if (name.endsWith('.mjs')) named.push(...imported(body));
    }
    expect(found.has('chart.mjs')).toBe(true);
    for (const name of [
      '../serve-watch.ts',
      '..%2fserve-watch.ts',
      'study.json',
      'page.html/../../address.ts',
      'watch.key',
      '%00',
    ]) {
      expect((await ask(address, { path: pathname + name })).status).toBe(404);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
      expect((await ask(address, { method })).status).toBe(405);
    }
  });

  test('gets no page that may be framed, sniffed, kept, or ask elsewhere', async () => {
    const { address } = await serve();
    for (const path of [undefined, '/']) {
      const { headers } = await ask(address, { path });
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'cross-origin-resource-policy': 'same-origin',
      });
      expect(headers['content-security-policy']).toMatch(
        /^default-src 'none';(?!.*(unsafe|\*|data:|http)).*frame-ancestors 'none'$/,
      );
      expect(headers['access-control-allow-origin']).toBe(undefined);
    }
    expect((await ask(address)).body).not.toMatch(/<script>|<style|style=|https?:\/\//);
  });
});

describe('an address', () => {
  test('is the same when the folder is watched again, another for another folder and another user', async () => {
    const { address, close } = await serve({ port: undefined });
    await close();
    expect((await serve({ port: undefined })).address).toBe(address);
    const { token, port } = watchAddress(study.folder, keyFolder);
    expect(watchAddress(`${study.folder}/.`, keyFolder)).toEqual({ token, port });
    expect(watchAddress(keyFolder, keyFolder).token).not.toBe(token);
    expect(watchAddress(study.folder, join(keyFolder, 'other')).token).not.toBe(token);
    expect(port).toBeGreaterThanOrEqual(20_000);
    expect(port).toBeLessThan(30_000);
  });

  test('has the next port where its own is taken; a given one is refused', async () => {
    const { port } = watchAddress(study.folder, keyFolder);
    const taken: Server = createServer();
    await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve));
    open.push({ close: () => taken.close() });
    expect(new URL((await serve({ port: undefined })).address).port).toBe(String(port + 1));
    await expect(serve({ port })).rejects.toThrow(`port ${port}: is taken; give another --port, or none`);
  });

  test('comes from a key that its user alone may read', () => {
    watchAddress(study.folder, keyFolder);
    const file = join(keyFolder, 'watch.key');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(keyFolder)).toEqual(['watch.key']);
    chmodSync(file, 0o640);
    expect(() => watchAddress(study.folder, keyFolder)).toThrow(/watch\.key: others may read it/);
    chmodSync(file, 0o600);
    writeFileSync(file, 'short');
    expect(() => watchAddress(study.folder, keyFolder)).toThrow(/watch\.key: is no key of flex; remove it/);
    expect(() => watchAddress(study.folder, file)).toThrow(/watch\.key.*cannot be written.*XDG_STATE_HOME/);
  });
});

test('a page that reads nothing holds up nobody', async () => {
  for (const run of runsOf(2)) {
    study.begin(run, 2000);
    study.write(run, linesOf(1, 2000));
  }
  const { address } = await serve();
  const { port, pathname } = new URL(address);
  const deaf = connect({ host: '127.0.0.1', port: Number(port) });
  deaf.pause();
  deaf.write(`GET ${pathname}events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  open.push({ close: () => deaf.destroy() });
  const page = follow(address);
  await page.until(({ header, curve }) => header.read === 6 && curve(first, 'loss').length === 1000);
  study.write(first, linesOf(2001, 2100));
  await page.until(({ rows }) => rows.get(first)?.step === 2100);
});
