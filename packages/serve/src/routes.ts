import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.ts';
import { answerChat } from './chat-completions.ts';
import { answerCompletions } from './completions.ts';
import { readBody } from './read-body.ts';
import type { Reply } from './reply.ts';
import { namesOf, type Served } from './served.ts';

/** Answers a request; throws ApiError, and what the packages below throw. The signal ends it. */
export type Handler = (request: IncomingMessage, reply: Reply, signal: AbortSignal) => unknown;

interface Route {
  readonly method: 'GET' | 'POST';
  readonly handler: Handler;
}

/** What is answered, by paths. */
export type Routes = ReadonlyMap<string, Route>;

export function routesOf(served: Served, { bodyBytes }: { readonly bodyBytes: number }): Routes {
  const created = Math.floor(Date.now() / 1000);
  const modelOf = (id: string) => ({ id, object: 'model', created, owned_by: 'flex' });
  const get = (value: () => object): Route => ({ method: 'GET', handler: (_, reply) => reply.json(value()) });
  const post = (answer: typeof answerChat): Route => ({
    method: 'POST',
    handler: async (request, reply, signal) =>
      answer(served, await readBody(request, bodyBytes), { reply, signal }),
  });
  const names = namesOf(served);
  return new Map([
    ['/health', get(() => ({ status: 'ok', texts: served.queue.size }))],
    ['/v1/models', get(() => ({ object: 'list', data: names.map(modelOf) }))],
    ...names.map((name): [string, Route] => [`/v1/models/${name}`, get(() => modelOf(name))]),
    ['/v1/completions', post(answerCompletions)],
    ['/v1/chat/completions', post(answerChat)],
  ]);
}

/** The handler of a path. Throws ApiError 404 and 405, which say what there is. */
export function handlerOf(routes: Routes, path: string, method: string | undefined): Handler {
  const route = routes.get(path);
  if (!route) {
    const words = path.startsWith('/v1/models/') ? 'there is no such model' : 'nothing is here';
    throw new ApiError(404, `${words}; there is ${[...routes.keys()].join(', ')}`);
  }
  if (method === route.method) return route.handler;
  const headers = { Allow: route.method };
  throw new ApiError(405, `only ${route.method} is answered here`, { headers });
}

/** The path of a request's target, without escapes; what cannot be read is the path of nothing. */
export function pathOf(url: string): string {
  const [path] = url.split('?', 1);
  try {
    return decodeURIComponent(path);
  } catch {
    return '';
  }
}
