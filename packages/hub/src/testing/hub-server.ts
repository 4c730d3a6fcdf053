import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';

/** A repository of a hub's server at its branch main. */
export interface ServedRepository {
  /** By path; those above `largeBytes` are kept by their SHA-256, elsewhere, as large files are. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Who reads it needs this token. */
  readonly token?: string;
  /** References besides main, such as `refs/pr/1`, all of the same commit. */
  readonly references?: readonly string[];
  /** The token must have been let in, which none has. */
  readonly isGated?: boolean;
}

/** How a server fails at one request. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection breaks off, or nothing more comes, after so many bytes of the body. */
  readonly breaksAfter?: number;
  readonly stallsAfter?: number;
  /** Milliseconds before each fifth of the body. */
  readonly pause?: number;
  /** The body in its place. */
  readonly body?: Uint8Array | string;
  readonly ignoresRange?: boolean;
}

/** A request as it came. */
export interface Asked {
  /** Which of the two servers. */
  readonly at: 'hub' | 'storage';
  readonly path: string;
  readonly token: string | null;
  readonly range: string | null;
  /** Bytes of the body that were sent. */
  sent: number;
}

/** A local server that speaks the hub's protocol, with a second one where large files are. */
export interface HubServer {
  readonly endpoint: string;
  /** By `models/org/name` and `datasets/org/name`; may be changed at any time. */
  readonly repositories: Map<string, ServedRepository>;
  readonly asked: Asked[];
  /** Says how a request is to fail; null for not at all. */
  fault: (asked: Asked) => Fault | null;
  /** Changes what the listing says. */
  relist: (entries: object[]) => object[];
  /** Ends it, with all connections. */
  close(): void;
}

const largeBytes = 1000;
/** Entries of a page of a listing. */
const pageEntries = 3;

/** Starts one, on ports of its own. */
export async function startHubServer(): Promise<HubServer> {
  const server: Omit<HubServer, 'endpoint' | 'close'> = {
    repositories: new Map(),
    asked: [],
    fault: () => null,
    relist: (entries) => entries,
  };
  const [hub, storage] = [
    createServer((request, response) => answer('hub', request, response)),
    createServer((request, response) => answer('storage', request, response)),
  ];
  const [endpoint, storageOrigin] = [await listen(hub), await listen(storage)];

  function answer(at: Asked['at'], request: IncomingMessage, response: ServerResponse): void {
    const token = request.headers.authorization?.replace(/^Bearer /, '') ?? null;
    const asked: Asked = { at, path: request.url!, token, range: request.headers.range ?? null, sent: 0 };
    server.asked.push(asked);
    const fault = server.fault(asked) ?? {};
    const {
      status,
      headers = {},
      body = '',
    } = fault.status === undefined ? replyTo(asked) : (fault as Reply);
    send(asked, { status, headers, body: Buffer.from(fault.body ?? body) }, fault, response);
  }

  function replyTo({ at, path, token }: Asked): Reply {
    if (at === 'storage') return contentOf(decodeURI(path.slice(1)));
    const { pathname, searchParams } = new URL(path, endpoint);
    const api = /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname);
    const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    const key = api ? `${api[1]}/${api[2]}` : `${file?.[1] ?? 'models/'}${file?.[2]}`;
    const repository = server.repositories.get(key);
    const refused = (status: number, code: string) => ({ status, headers: { 'x-error-code': code } });
    if (!repository) return refused(token === null ? 401 : 404, 'RepoNotFound');
    if (repository.token !== undefined && token !== repository.token) return refused(401, 'RepoNotFound');
    const commit = commitOf(repository);
    const revision = decodeURIComponent(api?.[4] ?? file?.[3] ?? '');
    const isReference = revision === 'main' || repository.references?.includes(revision);
    if (!isReference && !commit.startsWith(revision)) return refused(404, 'RevisionNotFound');
    if (api?.[3] === 'revision') return { status: 200, body: JSON.stringify({ id: api[2], sha: commit }) };
    if (api) {
      const from = Number(searchParams.get('cursor'));
      const to = from + pageEntries;
      const entries = server.relist(entriesOf(repository));
      const link = `<${endpoint}${pathname}?recursive=true&cursor=${to}>; rel="next"`;
      const body = JSON.stringify(entries.slice(from, to));
      return { status: 200, headers: to < entries.length ? { link } : {}, body };
    }
    if (repository.isGated) return refused(403, 'GatedRepo');
    const name = decodeURIComponent(file![4]);
    const content = repository.files.get(name);
    if (!content) return refused(404, 'EntryNotFound');
    if (content.length <= largeBytes) return contentOf(`${key}/${name}`);
    const linked = { 'x-linked-etag': `"${sha256(content)}"`, 'x-linked-size': String(content.length) };
    const location = `${storageOrigin}/${key}/${encodeURI(name)}`;
    return { status: 302, headers: { 'x-repo-commit': commit, ...linked, location } };
  }

  function contentOf(path: string): Reply {
    const [, key, file] = /^((?:models|datasets)\/[^/]+\/[^/]+)\/(.+)$/.exec(path)!;
    const repository = server.repositories.get(key)!;
    const body = repository.files.get(file)!;
    const etag = `"${body.length > largeBytes ? sha256(body) : gitDigest(body)}"`;
    return { status: 200, headers: { 'x-repo-commit': commitOf(repository), etag }, body };
  }

  const close = () => {
    for (const each of [hub, storage]) {
      each.closeAllConnections();
      each.close();
    }
  };
  return Object.assign(server, { endpoint, close });
}

interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** Sends the part of a reply's body that was asked for, as the fault lets it. */
function send(
  asked: Asked,
  { status, headers, body: all }: Reply & { readonly body: Buffer },
  { ignoresRange = false, breaksAfter, stallsAfter, pause }: Fault,
  response: ServerResponse,
): void {
  const asks = ignoresRange || status !== 200 ? null : /^bytes=(\d+)-(\d*)$/.exec(asked.range ?? '');
  const from = Number(asks?.[1] ?? 0);
  const body = all.subarray(from, asks?.[2] ? Number(asks[2]) + 1 : undefined);
  const range = asks ? { 'content-range': `bytes ${from}-${from + body.length - 1}/${all.length}` } : {};
  const length = { 'content-length': String(body.length) };
  response.writeHead(asks ? 206 : status, { ...headers, ...length, ...range });
  const end = breaksAfter ?? stallsAfter ?? body.length;
  const part = body.subarray(0, end);
  asked.sent = part.length;
  if (pause !== undefined) {
    void sendSlowly(response, body, pause);
    return;
  }
  if (end >= body.length) {
    response.end(body);
    return;
  }
  response.flushHeaders();
  // A moment later, so that what was written is sent before the connection goes.
  response.write(part, () => {
    if (breaksAfter !== undefined) void setTimeout(20).then(() => response.destroy());
  });
}

async function sendSlowly(response: ServerResponse, body: Uint8Array, pause: number): Promise<void> {
  const bytes = Math.ceil(body.length / 5);
  for (let at = 0; at < body.length; at += bytes) {
    await setTimeout(pause);
    response.write(body.subarray(at, at + bytes));
  }
  response.end();
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');
const gitDigest = (content: Uint8Array) =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

/** Another one for other files. */
export function commitOf({ files }: ServedRepository): string {
  const hash = createHash('sha1');
  for (const [path, content] of files) hash.update(`${path} ${sha256(content)}\n`);
  return hash.digest('hex');
}

/** The entries of the listing of a repository, folders among them. */
function entriesOf({ files }: ServedRepository): object[] {
  const folders = [...files.keys()].filter((path) => path.includes('/')).map((path) => path.split('/', 1)[0]);
  const large = (content: Uint8Array) => ({
    lfs: { oid: sha256(content), size: content.length, pointerSize: 134 },
    xetHash: sha256(gitHash(content)),
  });
  return [
    ...[...new Set(folders)].map((path) => ({
      type: 'directory',
      oid: gitDigest(gitHash(Buffer.from(path))),
      size: 0,
      path,
    })),
    ...[...files].map(([path, content]) => ({
      type: 'file',
      oid: gitDigest(content.length > largeBytes ? gitHash(content) : content),
      size: content.length,
      path,
      ...(content.length > largeBytes ? large(content) : {}),
    })),
  ];
}

/** Some bytes that stand for a pointer to a content. */
const gitHash = (content: Uint8Array) => Buffer.from(gitDigest(content), 'hex');
