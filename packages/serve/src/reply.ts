import type { ServerResponse } from 'node:http';
import type { ApiError, ApiErrorBody } from './api-error.ts';

/** How a request is answered: by one JSON value, or by events as they come. */
export interface Reply {
  json(value: object): void;
  /** A stream of server-sent events; until the first, an error still has a status of its own. */
  stream(): EventStream;
  /** Tells an error, in a stream as its last event. */
  error(error: ApiError): void;
}

export interface EventStream {
  send(event: object): void;
  /** Says that all is told. */
  end(): void;
}

export interface ReplyOptions {
  /** Bytes that may wait for the reader; with more of them the connection is closed. */
  readonly unsentBytes: number;
  /** Milliseconds in which a reader takes something of what is left, once all is told; else it is closed. */
  readonly stall: number;
}

/** The reply to a request. A reader that is slow holds up nothing but its own connection. */
export function newReply(response: ServerResponse, { unsentBytes, stall }: ReplyOptions): Reply {
  const finish = (text: string) => {
    if (response.destroyed) return;
    response.setTimeout(stall, () => response.destroy());
    response.end(text);
  };
  const json = (status: number, value: object, headers: Readonly<Record<string, string>> = {}) => {
    const text = JSON.stringify(value);
    const length = Buffer.byteLength(text);
    response.writeHead(status, { ...headers, 'Content-Type': 'application/json', 'Content-Length': length });
    finish(text);
  };
  return {
    json: (value) => json(200, value),
    stream() {
      return {
        send(event) {
          if (response.destroyed) return;
          if (!response.headersSent)
            response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
          response.write(eventText(event));
          if (response.writableLength > unsentBytes) response.destroy();
        },
        end: () => finish('data: [DONE]\n\n'),
      };
    },
    error({ status, headers, body }) {
      const value: { error: ApiErrorBody } = { error: body };
      if (response.headersSent) finish(eventText(value));
      else if (!response.destroyed) json(status, value, headers);
    },
  };
}

const eventText = (event: object) => `data: ${JSON.stringify(event)}\n\n`;
