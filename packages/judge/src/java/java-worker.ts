import { HarnessError } from '../errors.ts';
import { frame, newFrameReader } from '../protocol/frames.ts';
import type { Box, BoxOptions } from '../sandbox/box.ts';
import { message } from './java-messages.ts';
import { maxFrameBytes } from './java-processes.ts';

/** Seconds a worker may take to start, on a machine busy with others. */
const startSeconds = 60;

/** A process that compiles and tests. Its messages go to whoever asked last. */
export interface JavaWorker {
  /** Whether it has ended, or is about to. */
  readonly dead: boolean;
  /** Whether it has been given a source to compile. */
  readonly hasCompiled: boolean;
  /** Processor seconds it has used, as last seen. */
  cpuSeconds(): number;
  /** Sends a source and resolves with the answer; null says that the worker has ended. */
  compile(source: string): Promise<Buffer | null>;
  send(message: Uint8Array): void;
  /** Sends a message and takes its answers until the next `ask`; null says that the worker has ended. */
  ask(message: Uint8Array, onAnswer: (answer: Buffer | null) => void): void;
  kill(): void;
  /** Resolves when its processes are gone, with what it had to say about it. */
  readonly ended: Promise<string>;
}

/** A worker that is ready. Throws HarnessError where it does not start. */
export async function openJavaWorker(open: (onOutput: BoxOptions['onOutput']) => Box): Promise<JavaWorker> {
  let dead = false;
  let hasCompiled = false;
  let onAnswer: (answer: Buffer | null) => void = () => {};
  const reader = newFrameReader(maxFrameBytes, (payload) => onAnswer(payload));
  const box = open((chunk) => {
    if (dead) return;
    try {
      reader.push(chunk);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      worker.kill();
    }
  });
  const ended = box.ended.then(({ code, signal, stopped, stderr }) => {
    dead = true;
    onAnswer(null);
    return `code ${code}, signal ${signal}, stopped: ${stopped}. ${stderr.trim()}`;
  });
  const worker: JavaWorker = {
    get dead() {
      return dead;
    },
    get hasCompiled() {
      return hasCompiled;
    },
    cpuSeconds: () => box.usage().cpuSeconds,
    compile(source) {
      hasCompiled = true;
      return new Promise((resolve) => {
        worker.ask(message('C', source), (bytes) => resolve(bytes && Buffer.from(bytes)));
      });
    },
    send: (message) => box.write(frame(message)),
    ask(message, listener) {
      onAnswer = listener;
      if (dead) onAnswer(null);
      else box.write(frame(message));
    },
    kill() {
      dead = true;
      box.kill();
    },
    ended,
  };
  const late = setTimeout(worker.kill, startSeconds * 1000);
  const ready = await new Promise<boolean>((resolve, reject) => {
    onAnswer = (answer) => resolve(answer?.toString() === 'r');
    ended.catch(reject);
  });
  clearTimeout(late);
  if (ready) return worker;
  worker.kill();
  throw new HarnessError(`java: the judge's own process did not start: ${await ended}`);
}
