import { ConfigError, oneLine, printable } from '@flex/base';
import { HubError, PassingError } from './hub-error.ts';
import type { HubSettings } from './hub-settings.ts';
import { type Patient, retry } from './retry.ts';

/** Asks the hub. */
export interface HubClient extends Patient {
  readonly endpoint: string;
  /**
   * Hands an answer of 200 or 206 to `read`, with what is to be called for each piece that it takes of it.
   * Redirects are followed, and the token is sent to the endpoint's own origin alone.
   *
   * Throws PassingError for a broken or silent connection and for 408, 429 and 5xx, ConfigError for what
   * the hub refuses (401, 403, 404) and HubError for every other answer.
   */
  open<T>(
    url: string,
    headers: Record<string, string>,
    read: (response: Response, heard: () => void) => Promise<T>,
  ): Promise<T>;
  /** As the global `fetch`, for GET, with retries and with the whole answer read. */
  readonly fetch: typeof fetch;
}

const mostHops = 8;
/** Bytes of an answer that is read whole: a page of a listing has some hundred thousand. */
const mostAnswer = 1 << 26;
const redirects = [301, 302, 303, 307, 308];

/** `about` is what is asked for, as `org/name@revision`, for messages. */
export function newHubClient(about: string, { endpoint, token }: HubSettings, patient: Patient): HubClient {
  const { patience, signal } = patient;
  const { origin } = new URL(endpoint);

  async function answer(url: string, headers: Record<string, string>, abort: AbortSignal): Promise<Response> {
    let at = new URL(url);
    for (let hop = 0; hop < mostHops; hop++) {
      const own: Record<string, string> =
        token !== null && at.origin === origin ? { authorization: `Bearer ${token}` } : {};
      const response = await fetch(at, {
        redirect: 'manual',
        signal: abort,
        headers: { ...headers, ...own },
      });
      const location = response.headers.get('location');
      if (!redirects.includes(response.status) || location === null) return response;
      await response.body?.cancel();
      const to = URL.canParse(location, at.href) ? new URL(location, at.href) : null;
      const isSafe = to?.protocol === 'https:' || (to?.protocol === 'http:' && at.protocol === 'http:');
      if (!isSafe)
        throw new HubError(`${about}: ${at.host} leads to ${shortly(location)}, which is not followed`);
      at = to;
    }
    throw new HubError(`${about}: ${origin} leads from one address to the next, more than ${mostHops} times`);
  }

  const client: HubClient = {
    ...patient,
    endpoint,
    async open(url, headers, read) {
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(), 1000 * patience.silence);
      const abort = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
      try {
        const response = await answer(url, { 'accept-encoding': 'identity', ...headers }, abort);
        if (!response.ok) throw await refusal(response, about, { origin, hasToken: token !== null });
        return await read(response, () => timer.refresh());
      } catch (error) {
        signal?.throwIfAborted();
        if (silence.signal.aborted)
          throw new PassingError(`${about}: ${origin} said nothing for ${patience.silence} s`);
        // What fetch throws, and a body that breaks off.
        if (error instanceof TypeError && error.cause instanceof Error)
          throw new PassingError(`${about}: ${connectionWords(error, origin)}`);
        throw error;
      } finally {
        clearTimeout(timer);
      }
    },
    fetch: (input) =>
      retry(patient, {
        attempt: () => client.open(String(input), { accept: 'application/json' }, readAnswer),
      }),
  };

  async function readAnswer(response: Response, heard: () => void): Promise<Response> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of response.body ?? []) {
      heard();
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > mostAnswer)
        throw new HubError(`${about}: ${origin} answers with more than ${mostAnswer} bytes`);
    }
    const text = Buffer.concat(pieces).toString();
    if (!isJson(text))
      throw new HubError(`${about}: ${origin} answers with what is no JSON: ${oneLine(text)}`);
    return new Response(text, { headers: response.headers });
  }
  return client;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What fetch means by `fetch failed` and `terminated`. */
function connectionWords({ message, cause }: TypeError, origin: string): string {
  const { code, message: words = message } = (cause ?? {}) as NodeJS.ErrnoException;
  return `the connection to ${origin} broke (${oneLine(code ?? words)})`;
}

/** The error that an answer other than 2xx means. */
async function refusal(
  response: Response,
  about: string,
  { origin, hasToken }: { readonly origin: string; readonly hasToken: boolean },
): Promise<Error> {
  await response.body?.cancel();
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  if (status === 408 || status === 429 || status >= 500) {
    return new PassingError(`${about}: ${origin} answered ${status}`, {
      after: secondsOf(headers.get('retry-after')),
    });
  }
  if (code === 'GatedRepo') {
    const how = hasToken ? 'your token has no access' : 'a token is needed (HF_TOKEN)';
    return new ConfigError(`${about}: is gated, and ${how}; its page at ${origin} tells how to get it`);
  }
  if (status === 401) {
    const how = hasToken
      ? 'does not accept the token (HF_TOKEN, or the one of hf auth login)'
      : 'knows nothing public of that name; what is private needs HF_TOKEN';
    return new ConfigError(`${about}: ${origin} ${how}`);
  }
  if (status === 403) return new ConfigError(`${about}: ${origin} forbids it${saidBy(headers)}`);
  if (status === 404) {
    const what = { RevisionNotFound: 'no such revision', EntryNotFound: 'no such file' }[code ?? ''];
    return new ConfigError(`${about}: ${origin} has ${what ?? 'nothing of that name'}`);
  }
  return new HubError(`${about}: ${origin} answered ${status}${saidBy(headers)}`);
}

function saidBy(headers: Headers): string {
  const words = headers.get('x-error-message');
  return words === null ? '' : `: ${printable(oneLine(words))}`;
}

/** Seconds that a Retry-After says, as a number or as a time; null for neither. */
function secondsOf(text: string | null): number | null {
  if (text === null) return null;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const seconds = (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

/** An address for a message, without what may be a key in it. */
function shortly(location: string): string {
  return printable(oneLine(location.replace(/[?#].*/s, '')));
}
