import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError, type DeviceError, isOwnHost, isSecret, listen, loopback } from '@flex/base';
import { ApiError, apiErrorOf, isLoss } from './api-error.ts';
import { newConnections } from './connections.ts';
import { newReply } from './reply.ts';
import { handlerOf, pathOf, routesOf } from './routes.ts';
import { longestToken, type Models } from './served.ts';
import { newTextQueue } from './text-queue.ts';

export interface ServeOptions {
  /** The address of the interface that is listened on; this machine's own if left out. */
  readonly host?: string;
  /** 0 for any that is free; 8000, or one of the next ten, if left out. */
  readonly port?: number;
  /** What requests must bring, `Authorization: Bearer KEY`; left out: nothing. */
  readonly key?: string;
  readonly limits?: Partial<Limits>;
}

/** What a request, and all together, may take of the server. */
export interface Limits {
  /** Bytes of a body. */
  readonly bodyBytes: number;
  /** Texts that wait for a slot. */
  readonly waiting: number;
  /** Seconds from a request to the end of its answer. */
  readonly seconds: number;
  /** Bytes of a stream that its reader has not taken. */
  readonly unsentBytes: number;
  /** Seconds in which a client sends its body or takes something of its answer. */
  readonly stallSeconds: number;
  /** Connections at the same time: a new one ends the oldest on which nothing is asked. */
  readonly connections: number;
}

/**
 * 1 MiB, and 16 bytes for each token that the slots hold at once, 8 MiB at most: ids and texts take some 5
 * bytes a token, escapes up to 6 a character.
 */
const bodyBytesOf = ({ slots, maxLength }: Models): number =>
  Math.min(8 * 2 ** 20, 2 ** 20 + 16 * slots * maxLength);

const defaultLimits: Omit<Limits, 'bodyBytes'> = {
  waiting: 1024,
  seconds: 3600,
  unsentBytes: 2 ** 20,
  stallSeconds: 60,
  connections: 512,
};

/** A server that answers requests. */
export interface ModelServer {
  /** What a client is told as its base URL: `http://127.0.0.1:8000/v1`. */
  readonly address: string;
  /** How many texts are being continued or wait. */
  readonly texts: number;
  /** Resolves where the device is lost: all requests, /health too, are answered 503 from then on. */
  readonly lost: Promise<DeviceError>;
  /**
   * Takes no more requests, lets those that it has end for so many milliseconds (0 if left out), and ends the
   * rest with 503.
   */
  close(grace?: number): Promise<void>;
}

/**
 * Serves a model and its adapters as OpenAI's interface has it: `/v1/models`, `/v1/completions`,
 * `/v1/chat/completions`, and `/health`. Errors are answers in OpenAI's form. A client that is gone, or reads
 * too slowly, frees its slots.
 *
 * On the loopback interface only requests are answered that call this machine by its own name. Throws
 * ConfigError for another interface without a key, and where no port can be had.
 */
export async function serve(models: Models, options: ServeOptions = {}): Promise<ModelServer> {
  const { host = loopback, port, key } = options;
  const limits = { ...defaultLimits, bodyBytes: bodyBytesOf(models), ...options.limits };
  const isLocal = host === loopback || host === '::1' || host === 'localhost';
  if (!isLocal && !key)
    throw new ConfigError(`host ${host}: other machines reach it, so a key is needed: set FLEX_SERVE_KEY`);
  const queue = newTextQueue({ slots: models.slots, waiting: limits.waiting });
  const textBytes = models.maxLength * longestToken(models.tokenizer);
  const routes = routesOf({ ...models, queue, textBytes }, limits);
  const requireAccess = ({ headers }: IncomingMessage, path: string): void => {
    if (isLocal && !isOwnHost(headers.host))
      throw new ApiError(403, 'this server answers to localhost, 127.0.0.1 and [::1]');
    if (key && path !== '/health' && !isSecret(headers.authorization ?? '', `Bearer ${key}`))
      throw new ApiError(401, 'the key is missing or wrong', { code: 'invalid_api_key' });
  };

  const stall = 1000 * limits.stallSeconds;
  const connections = newConnections(limits.connections);
  /** Requests whose answers have not left. */
  const open = new Set<AbortController>();
  let closing = false;
  let loss: DeviceError | null = null;
  let tellLoss: (error: DeviceError) => void;
  const lost = new Promise<DeviceError>((resolve) => {
    tellLoss = resolve;
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const reply = newReply(response, { unsentBytes: limits.unsentBytes, stall });
    const ended = new AbortController();
    const late = setTimeout(() => {
      ended.abort(new ApiError(504, `the answer took longer than ${limits.seconds} seconds`));
    }, 1000 * limits.seconds);
    // Answered or not: no text of the request is wanted any more.
    const end = connections.begin(request);
    const gone = () => {
      end();
      socket.off('close', gone);
      ended.abort(new ApiError(499, 'the client is gone'));
      open.delete(ended);
      if (closing) setImmediate(closeUnused);
    };
    const { socket } = request;
    response.on('close', gone);
    // The answer to a request that was sent behind another one has no connection before its turn.
    socket.on('close', gone);
    open.add(ended);
    try {
      if (closing) throw shuttingDown();
      const path = pathOf(request.url ?? '');
      requireAccess(request, path);
      if (loss) throw loss;
      await handlerOf(routes, path, request.method)(request, reply, ended.signal);
    } catch (error) {
      if (isLoss(error)) {
        loss = error;
        tellLoss(error);
      }
      reply.error(apiErrorOf(error));
    } finally {
      clearTimeout(late);
    }
  };
  /** Connections on which nothing is being answered, those too that never asked anything. */
  const closeUnused = () => (open.size === 0 ? server.closeAllConnections() : server.closeIdleConnections());
  // Connections are kept for longer than clients keep them: one that has asked may wait for a long step.
  const timeouts = {
    keepAliveTimeout: stall,
    headersTimeout: stall,
    requestTimeout: stall,
    connectionsCheckingInterval: 5000,
  };
  const server = createServer(timeouts, answer);
  server.on('connection', (socket) => {
    socket.setMaxListeners(0);
    connections.add(socket);
    models.turns.onConnection();
  });
  await listen(server, port === undefined ? { host, port: 8000, tries: 11 } : { host, port });
  const { port: actual } = server.address() as AddressInfo;
  return {
    address: `http://${host.includes(':') ? `[${host}]` : host}:${actual}/v1`,
    get texts() {
      return queue.size;
    },
    lost,
    async close(grace = 0) {
      closing = true;
      const closed = new Promise((resolve) => server.close(resolve));
      const deadline = setTimeout(() => {
        for (const one of open) one.abort(shuttingDown());
        // Time to be told so.
        setTimeout(() => server.closeAllConnections(), 1000).unref();
      }, grace);
      closeUnused();
      await closed;
      clearTimeout(deadline);
    },
  };
}

const shuttingDown = () =>
  new ApiError(503, 'the server is shutting down', { headers: { Connection: 'close' } });
