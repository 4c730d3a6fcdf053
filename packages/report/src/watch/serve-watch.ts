import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isOwnHost, isSecret, listen, loopback } from '@flex/base';
import { paletteStyle } from '../palette.ts';
import { watchAddress } from './address.ts';
import { openStream, type UpdateStream } from './update-stream.ts';
import { watchFolder } from './watch-folder.ts';

export interface ServeOptions {
  /** 0 for any that is free; else the folder's own, or one of the next ten where that is taken. */
  readonly port?: number;
  /** How the folder is called on the page. */
  readonly shown?: string;
  /** Where the key of addresses is kept; else in the user's state folder. */
  readonly keyFolder?: string;
  /** Milliseconds between two looks at the folder. */
  readonly interval?: number;
}

/** A page that is served. */
export interface WatchServer {
  /** Its address, which has the token in it. */
  readonly address: string;
  close(): Promise<void>;
}

const headers = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const;

/**
 * Serves a page that follows the run or the study in a folder, to this machine alone: on the loopback
 * interface, to requests of a page whose name is this machine's and whose path begins with the folder's
 * token. Nothing is written, but the key of addresses. The folder is read only while a page looks on.
 *
 * Throws DataError where the folder holds neither a run nor a study, and ConfigError where no port can be had
 * and for a key that is none.
 */
export async function serveWatch(folder: string, options: ServeOptions = {}): Promise<WatchServer> {
  const { shown, keyFolder, interval = 500 } = options;
  const watched = watchFolder(folder, shown);
  const { token, port } = watchAddress(folder, keyFolder);
  const files = pageFiles();
  const page = digestOf(files);
  const streams = new Set<UpdateStream>();
  const server = createServer((request, response) => {
    const path = ownPath(request, token);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (path === null) return refuse(response, 404, 'nothing is here');
    if (request.method !== 'GET') return refuse(response, 405, 'only GET is answered');
    if (path.name === '') return redirect(response, `/${token}/`);
    if (path.name === '/events') return stream(response, path.query.getAll('column'));
    const file = files.get(path.name);
    if (!file) return refuse(response, 404, 'nothing is here');
    response.writeHead(200, { 'Content-Type': file.type }).end(file.bytes);
  });
  const stream = (response: ServerResponse, columns: readonly string[]) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
    const one = openStream(response, watched, { columns, page });
    streams.add(one);
    response.on('close', () => streams.delete(one));
    one.push();
  };
  await listen(server, options.port === undefined ? { port, tries: 11 } : { port: options.port, tries: 1 });
  const end = new AbortController();
  const pushing = setInterval(() => {
    for (const one of streams) one.push();
  }, interval);
  const following = follow(end.signal, async () => {
    if (streams.size > 0) await watched.refresh();
    await setTimeout(interval, null, { signal: end.signal });
  });
  return {
    address: `http://${loopback}:${(server.address() as AddressInfo).port}/${token}/`,
    async close() {
      end.abort();
      clearInterval(pushing);
      for (const one of streams) one.end();
      server.closeAllConnections();
      await Promise.all([following, new Promise((closed) => server.close(closed))]);
    },
  };
}

/** Does it again and again until the signal is aborted. */
async function follow(signal: AbortSignal, look: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await look().catch((error) => {
      if (!signal.aborted) throw error;
    });
  }
}

/** What is asked for below the token; null for who does not know it, or comes by the name of another host. */
function ownPath({ headers: { host }, url = '' }: IncomingMessage, token: string) {
  if (!isOwnHost(host)) return null;
  const [path, query = ''] = url.split('?', 2);
  const [given, name] = [path.slice(1, 1 + token.length), path.slice(1 + token.length)];
  return isSecret(given, token) ? { name, query: new URLSearchParams(query) } : null;
}

function refuse(response: ServerResponse, status: number, words: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${words}\n`);
}

function redirect(response: ServerResponse, to: string): void {
  response.writeHead(308, { Location: to }).end();
}

interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

/** The files of the page, by what follows the token in their addresses. */
function pageFiles(): ReadonlyMap<string, PageFile> {
  const folder = join(import.meta.dirname, 'page');
  const uplot = join(createRequire(import.meta.url).resolve('uplot'), '..');
  const text = (type: string, bytes: Buffer): PageFile => ({ type: `${type}; charset=utf-8`, bytes });
  const file = (name: string, type: string, from = folder): [string, PageFile] => [
    `/${name}`,
    text(type, readFileSync(join(from, name))),
  ];
  return new Map([
    ['/', text('text/html', readFileSync(join(folder, 'page.html')))],
    ['/palette.css', text('text/css', Buffer.from(paletteStyle(':root')))],
    file('icon.svg', 'image/svg+xml'),
    file('page.css', 'text/css'),
    ...modules.map((name) => file(name, 'text/javascript')),
    file('uPlot.iife.min.js', 'text/javascript', uplot),
    file('uPlot.min.css', 'text/css', uplot),
  ]);
}

const modules = [
  'page.mjs',
  'store.mjs',
  'tables.mjs',
  'chart.mjs',
  'curves.mjs',
  'words.mjs',
  'arm-style.mjs',
];

function digestOf(files: ReadonlyMap<string, PageFile>): string {
  const hash = createHash('sha256');
  for (const { bytes } of files.values()) hash.update(bytes);
  return hash.digest('hex');
}
