import { randomBytes } from 'node:crypto';
import type { BoxEnd, Sandbox } from '../sandbox/box.ts';
import type { Limits } from '../sandbox/limits.ts';
import { frame, newFrameReader } from './frames.ts';

/** Bytes a frame may have: a value of at most 8 MiB, and what is around it. */
export const maxFrameBytes = 8 * 2 ** 20 + 1024;
const tokenBytes = 8;

/** A box that holds a candidate's program and answers requests. */
export interface Candidate {
  /**
   * The reply to a request of this kind, or null when the box ended instead. Every request carries a fresh
   * random token that its reply must repeat: an answer given before it was asked is a broken protocol.
   */
  ask(kind: 'load' | 'call', content: string | Uint8Array): Promise<Buffer | null>;
  /** What it sent that was no reply; null while it keeps to the protocol. */
  readonly broken: string | null;
  kill(): void;
  readonly ended: Promise<BoxEnd>;
}

export interface CandidateBox {
  readonly sandbox: Sandbox;
  readonly lane: number;
  readonly limits: Limits;
  readonly command: readonly string[];
  readonly reads?: readonly string[];
  readonly files: Readonly<Record<string, string | Uint8Array>>;
}

/** Opens a candidate's box. */
export function openCandidate({ sandbox, ...options }: CandidateBox): Candidate {
  let broken: string | null = null;
  let waiting: { token: Buffer; resolve: (reply: Buffer | null) => void } | null = null;
  const breach = (what: string) => {
    broken ??= what;
    box.kill();
  };
  const reader = newFrameReader(maxFrameBytes, (payload) => {
    if (broken !== null) return;
    if (waiting === null || !payload.subarray(0, tokenBytes).equals(waiting.token)) {
      return breach('sent an answer that nobody asked for');
    }
    const { resolve } = waiting;
    waiting = null;
    resolve(payload.subarray(tokenBytes));
  });
  const onOutput = (chunk: Buffer) => {
    if (broken !== null) return;
    try {
      reader.push(chunk);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      breach(`sent ${error.message}`);
    }
  };
  const box = sandbox.open({ ...options, onOutput });
  let isOpen = true;
  const ended = box.ended.finally(() => {
    isOpen = false;
    waiting?.resolve(null);
  });
  ended.catch(() => {});
  return {
    ask(kind, content) {
      if (!isOpen || broken !== null) return Promise.resolve(null);
      const token = randomBytes(tokenBytes);
      return new Promise((resolve) => {
        waiting = { token, resolve };
        const body = typeof content === 'string' ? Buffer.from(content) : content;
        box.write(frame(Buffer.concat([token, Buffer.from(kind === 'load' ? 'P' : 'Q'), body])));
      });
    },
    get broken() {
      return broken;
    },
    kill: box.kill,
    ended,
  };
}
