import { createHash, timingSafeEqual } from 'node:crypto';
import type { Server } from 'node:http';
import { ConfigError } from './errors.ts';

/** The address of this machine that no other machine reaches. */
export const loopback = '127.0.0.1';

/** Names that lead to this machine and nowhere else, as a Host header has them; a tunnel has its own port. */
const ownHost = /^(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?$/i;

/** Whether a request's Host header calls this machine by its own name: another name may be rebound to it. */
export function isOwnHost(host: string | undefined): boolean {
  return host !== undefined && ownHost.test(host);
}

/** Whether a text is the secret, in a time that does not tell how much of it is. */
export function isSecret(given: string, secret: string): boolean {
  const [a, b] = [given, secret].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(a, b);
}

export interface ListenOptions {
  readonly host?: string;
  readonly port: number;
  /** How many ports from `port` on are tried; one if left out. */
  readonly tries?: number;
}

/** Listens on the first of these ports that is free. Throws ConfigError where none is. */
export async function listen(server: Server, options: ListenOptions): Promise<void> {
  const { host = loopback, port, tries = 1 } = options;
  const taken = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    server.once('error', resolve);
    server.listen(port, host, () => {
      server.off('error', resolve);
      resolve(null);
    });
  });
  if (taken === null) return;
  if (tries > 1 && taken.code === 'EADDRINUSE')
    return listen(server, { host, port: port + 1, tries: tries - 1 });
  const advice = taken.code === 'EADDRINUSE' ? 'is taken; give another --port, or none' : taken.message;
  throw new ConfigError(`port ${port}: ${advice}`);
}
