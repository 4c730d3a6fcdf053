import { PassThrough, Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { DataError } from '@flex/base';
import type { ChatMessage } from '@flex/llama';
import { expect, test } from 'vitest';
import { type Answer, type ChatSessionOptions, chatSession } from './chat-session.ts';

interface Held {
  /** What each answer was asked with, and what was told. */
  readonly asked: (readonly ChatMessage[])[];
  readonly told: string[];
  readonly notes: string[];
}

/** A chat whose answers are `re: ` and the last message, in two pieces. */
function held(changes: Partial<ChatSessionOptions>): Held & { readonly ended: Promise<boolean> } {
  const [asked, told, notes]: [(readonly ChatMessage[])[], string[], string[]] = [[], [], []];
  const answer: Answer = async (messages, { onText }) => {
    asked.push(messages);
    onText('re: ');
    await turn();
    onText(messages.at(-1)!.content);
  };
  const ended = chatSession({
    input: Readable.from([]),
    terminal: null,
    answer,
    onText: () => {},
    onAnswer: (text) => told.push(text),
    note: (line) => notes.push(line),
    signal: new AbortController().signal,
    ...changes,
  });
  return { asked, told, notes, ended };
}

const contents = (messages: readonly ChatMessage[]) =>
  messages.map(({ role, content }) => `${role}: ${content}`);

/** A terminal that is typed into. */
function typing() {
  const input = new PassThrough();
  const terminal = new PassThrough();
  terminal.resume();
  return { input, terminal };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

test('each line is a turn, and the answers to those before are known', async () => {
  const input = Readable.from(['one\r\ntw', 'o\n\n  \nthree']);
  const { asked, told, ended } = held({ input, system: 'be brief' });
  expect(await ended).toBe(false);
  expect(told).toEqual(['re: one', 're: two', 're: three']);
  expect(contents(asked[2])).toEqual([
    'system: be brief',
    'user: one',
    'assistant: re: one',
    'user: two',
    'assistant: re: two',
    'user: three',
  ]);
});

test('commands begin anew, give another system message, and are told', async () => {
  const input = Readable.from('one\n/reset\ntwo\n/system be long \nthree\n/system\nfour\n/rest\n/help\n');
  const { asked, notes, ended } = held({ input });
  await ended;
  expect(asked.map(contents)).toEqual([
    ['user: one'],
    ['user: two'],
    ['system: be long', 'user: three'],
    ['user: four'],
  ]);
  expect(notes[0]).toMatch(/^\/rest is no command; \/reset begins anew/);
  expect(notes[1]).toMatch(/^\/reset begins anew, \/system TEXT/);
});

test('a turn that cannot be answered is taken back; another error ends the chat', async () => {
  const failing = (error: Error): Answer => {
    const asked: string[][] = [];
    return async (messages, { onText }) => {
      asked.push(contents(messages));
      if (messages.at(-1)!.content === 'too long') throw error;
      onText(JSON.stringify(asked.at(-1)));
    };
  };
  const words = ['one\n', 'too long\n', 'two\n'];
  const refused = held({
    input: Readable.from(words),
    answer: failing(new DataError('the context is full')),
  });
  await refused.ended;
  expect(refused.notes).toEqual(['the context is full']);
  expect(JSON.parse(refused.told[1])).toEqual(['user: one', `assistant: ${refused.told[0]}`, 'user: two']);
  const failed = held({ input: Readable.from(words), answer: failing(new Error('the device is lost')) });
  await expect(failed.ended).rejects.toThrow('the device is lost');
});

/** Answers `begun`, and then nothing until it is stopped. */
const endless: Answer = (_, { onText, signal }) =>
  new Promise((_, reject) => {
    onText('begun');
    signal.addEventListener('abort', () => reject(signal.reason));
  });

test('Ctrl-C ends an answer, which stays as far as it came, and not the chat', async () => {
  const { input, terminal } = typing();
  const asked: (readonly ChatMessage[])[] = [];
  const answer: Answer = (messages, options) => {
    asked.push(messages);
    return endless(messages, options);
  };
  const { told, notes, ended } = held({ input, terminal, answer });
  for (const [i, line] of ['one', 'two'].entries()) {
    input.write(`${line}\r`);
    await until(() => asked.length === i + 1);
    input.write('\u0003');
    await until(() => told.length === i + 1);
  }
  expect(contents(asked[1])).toEqual(['user: one', 'assistant: begun', 'user: two']);
  expect(notes).toEqual([]);
  input.write('\u0004');
  expect(await ended).toBe(false);
});

test('Ctrl-C without an answer asks, and the second time ends the chat', async () => {
  const { input, terminal } = typing();
  const { told, notes, ended } = held({ input, terminal });
  input.write('\u0003');
  await until(() => notes.length === 1);
  expect(notes).toEqual(['Ctrl-C once more, or Ctrl-D, ends the chat']);
  input.write('one\r');
  await until(() => told.length === 1);
  input.write('\u0003');
  await until(() => notes.length === 2);
  input.write('\u0003');
  expect(await ended).toBe(true);
});

test('a chat that is asked to end ends its answer too', async () => {
  const { input, terminal } = typing();
  const end = new AbortController();
  let begun = false;
  const { ended } = held({
    input,
    terminal,
    answer: endless,
    onText: () => (begun = true),
    signal: end.signal,
  });
  input.write('one\r');
  await until(() => begun);
  end.abort();
  expect(await ended).toBe(false);
  const late = held({ input: Readable.from('one\n'), signal: AbortSignal.abort() });
  expect(await late.ended).toBe(false);
  expect(late.asked).toEqual([]);
});
