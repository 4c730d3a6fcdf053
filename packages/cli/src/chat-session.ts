import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { DataError } from '@flex/base';
import type { ChatMessage } from '@flex/llama';

/** Answers a chat, telling the pieces of the answer as they come. */
export type Answer = (
  messages: readonly ChatMessage[],
  options: { readonly onText: (piece: string) => void; readonly signal: AbortSignal },
) => Promise<unknown>;

export interface ChatSessionOptions {
  readonly input: Readable;
  /** Whether lines are typed: then there is a prompt, and Ctrl-C ends an answer. */
  readonly terminal: Writable | null;
  readonly system?: string;
  readonly answer: Answer;
  /** Told of a piece of an answer, and at an answer's end of the whole. */
  readonly onText: (piece: string) => void;
  readonly onAnswer: (text: string) => void;
  /** What is no answer: help, and what went wrong. */
  readonly note: (line: string) => void;
  /** Aborted: the chat ends. */
  readonly signal: AbortSignal;
}

const help =
  '/reset begins anew, /system TEXT too, with this system message; Ctrl-C stops an answer, Ctrl-D ends';

/**
 * A chat, a line a turn, until its input ends. An answer that was stopped stays in the chat as far as it
 * came; a turn that cannot be answered is taken back, and its error told. Gives true where Ctrl-C ended the
 * chat: the second one without an answer in between.
 */
export async function chatSession(options: ChatSessionOptions): Promise<boolean> {
  const { input, terminal, answer, onText, onAnswer, note, signal } = options;
  let system = options.system;
  let messages: ChatMessage[] = [];
  let running: AbortController | null = null;
  let isLeaving = false;
  let interrupted = false;
  const lines: Interface = createInterface({
    input,
    ...(terminal && { output: terminal, terminal: true }),
    prompt: terminal ? '> ' : '',
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  const stop = () => {
    running?.abort(signal.reason);
    lines.close();
  };
  lines.on('SIGINT', () => {
    if (running) return running.abort();
    interrupted = isLeaving;
    if (isLeaving) return lines.close();
    isLeaving = true;
    note('Ctrl-C once more, or Ctrl-D, ends the chat');
    lines.prompt();
  });
  signal.addEventListener('abort', stop, { once: true });

  const reset = () => {
    messages = system === undefined ? [] : [{ role: 'system', content: system }];
  };
  const command = (line: string): void => {
    const [name, ...words] = line.split(' ');
    if (name === '/system') system = words.join(' ').trim() || undefined;
    if (name === '/reset' || name === '/system') reset();
    else note(name === '/help' ? help : `${name} is no command; ${help}`);
  };
  const turn = async (content: string): Promise<void> => {
    let text = '';
    const asked = [...messages, { role: 'user', content }];
    running = new AbortController();
    try {
      await answer(asked, {
        signal: running.signal,
        onText(piece) {
          text += piece;
          onText(piece);
        },
      });
    } catch (error) {
      if (!running.signal.aborted) {
        if (!(error instanceof DataError)) throw error;
        return note(error.message);
      }
    } finally {
      running = null;
    }
    messages = [...asked, { role: 'assistant', content: text }];
    onAnswer(text);
  };

  reset();
  try {
    if (signal.aborted) return false;
    lines.prompt();
    for await (const line of lines) {
      isLeaving = false;
      if (line.startsWith('/')) command(line.trimEnd());
      else if (line.trim() !== '') await turn(line);
      if (signal.aborted) break;
      lines.prompt();
    }
    return interrupted;
  } finally {
    signal.removeEventListener('abort', stop);
    lines.close();
    // The line of the last prompt has no end.
    terminal?.write('\n');
  }
}
