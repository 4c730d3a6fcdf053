import type { IncomingMessage } from 'node:http';
import { oneLine, tryOptions } from '@flex/base';
import type { z } from 'zod';
import { ApiError } from './api-error.ts';
import { requireFew, requireSimple } from './body-limits.ts';

/**
 * The JSON of a request's body. Throws ApiError for another type of content, for more than `limit` bytes, for
 * what is nested too deeply or has too many keys, and for what is not an object in JSON and UTF-8.
 *
 * A page of another site can send a form or plain text to this machine, but JSON only after a question that
 * is never answered.
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<object> {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers;
  if (!/^application\/json *(;|$)/i.test(type))
    throw new ApiError(415, `Content-Type must be application/json, got "${oneLine(type)}"`);
  if (encoding !== 'identity')
    throw new ApiError(415, `Content-Encoding must be identity, got "${oneLine(encoding)}"`);
  const bytes = await readBytes(request, limit);
  requireSimple(bytes);
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ApiError(400, `the body is not JSON: ${oneLine((error as Error).message)}`);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new ApiError(400, 'the body must be a JSON object');
  return body;
}

async function readBytes(request: IncomingMessage, limit: number): Promise<Buffer> {
  const tooLong = () =>
    // What was not read would be taken for the next request.
    new ApiError(413, `the body is longer than ${limit} bytes`, { headers: { Connection: 'close' } });
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLong();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > limit) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Keys whose schemas look at their elements by hand. */
const quick = new Set(['prompt', 'logit_bias']);

/**
 * A body as its schema has it; keys that are null count as left out. Throws ApiError for the first thing that
 * is wrong: of the keys that OpenAI's interface has and this server has not, in the words of `unsupported`.
 */
export function parseBody<S extends z.ZodType>(
  schema: S,
  body: object,
  unsupported: Readonly<Record<string, string>>,
): z.output<S> {
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  const refused = Object.keys(unsupported).find((key) => Object.hasOwn(given, key));
  if (refused !== undefined) {
    const code = 'unsupported_parameter';
    throw new ApiError(400, `${refused} is not supported; ${unsupported[refused]}`, { param: refused, code });
  }
  requireFew(given, quick);
  const { data, problem } = tryOptions(schema, given);
  if (problem) throw new ApiError(400, problem.message, { param: String(problem.path[0] ?? '') });
  return data;
}
