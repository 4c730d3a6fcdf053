import { get, request } from 'node:http';
import type { CurvePart, Header, RunRow, Update } from '../messages.ts';

/** What a page knows that has taken all updates so far. */
export interface Listener {
  readonly header: Header;
  readonly rows: ReadonlyMap<string, RunRow>;
  /** By run, then by column: the values of its points. */
  curve(run: string, column: string): (number | null)[];
  /** Bytes that came. */
  readonly bytes: number;
  /** Waits until what it knows is as wanted. Throws after half a minute. */
  until(wanted: (listener: Listener) => boolean): Promise<void>;
  close(): void;
}

/** Takes a server's events as the page does. */
export function listen(address: string, columns: readonly string[] = []): Listener {
  const rows = new Map<string, RunRow>();
  const curves = new Map<string, (number | null)[]>();
  let [header, bytes, text] = [undefined as Header | undefined, 0, ''];
  const takeCurve = ({ run, column, from, y }: CurvePart) => {
    const key = `${run} ${column}`;
    curves.set(key, [...(curves.get(key) ?? []).slice(0, from), ...y]);
  };
  const query = new URLSearchParams(columns.map((column) => ['column', column]));
  const asked = get(`${address}events?${query}`, (response) => {
    response.setEncoding('utf8').on('data', (piece: string) => {
      bytes += Buffer.byteLength(piece);
      const events = (text + piece).split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const update = JSON.parse(event.replace(/^data: /, '')) as Update;
        header = update.header ?? header;
        for (const row of update.rows ?? []) rows.set(row.name, row);
        for (const part of update.curves ?? []) takeCurve(part);
      }
    });
    // The server may go away.
    response.on('error', () => {});
  });
  asked.on('error', () => {});
  const listener: Listener = {
    get header() {
      if (!header) throw new Error('nothing came yet');
      return header;
    },
    rows,
    curve: (run, column) => curves.get(`${run} ${column}`) ?? [],
    get bytes() {
      return bytes;
    },
    async until(wanted) {
      for (let tries = 0; tries < 1500; tries++) {
        if (header && wanted(listener)) return;
        await new Promise((later) => setTimeout(later, 20));
      }
      throw new Error(`not within half a minute: ${wanted}`);
    },
    close: () => void asked.destroy(),
  };
  return listener;
}

/** An answer to one request. */
export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** Asks once, with these headers, by this path as it is. */
export function ask(
  address: string,
  { path, ...options }: { path?: string; method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { hostname, port, pathname } = new URL(address);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path: path ?? pathname, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        body += piece;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }));
    });
    asked.on('error', reject).end();
  });
}
