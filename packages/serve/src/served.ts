import { nearestName, oneLine } from '@flex/base';
import type { ChatTemplate, Decoder, Tokenizer } from '@flex/llama';
import { ApiError } from './api-error.ts';
import type { TextQueue } from './text-queue.ts';
import type { Turns } from './turns.ts';

/** A model, its adapters and what reads and writes their texts. */
export interface Models {
  readonly decoder: Decoder;
  /** Texts that the decoder continues at the same time. */
  readonly slots: number;
  /** What requests call the model as it is. */
  readonly name: string;
  /** The decoder's adapters, whose names requests use as they are. */
  readonly adapters: readonly string[];
  readonly tokenizer: Tokenizer;
  /** Null: the model has none, and chats are refused. */
  readonly chatTemplate: ChatTemplate | null;
  /** What the decoder pauses for. */
  readonly turns: Turns;
  /** Tokens of a text at most, with its prompt. */
  readonly maxLength: number;
}

/** What requests are answered with. */
export interface Served extends Models {
  readonly queue: TextQueue;
  /** Bytes of a text at most: those of `maxLength` of the longest tokens. */
  readonly textBytes: number;
}

/** Throws ApiError for a text that is too long, before it is made tokens. */
export function requireShortText({ maxLength, textBytes }: Served, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= textBytes) return;
  throw new ApiError(
    400,
    `the prompt's ${bytes} bytes are more than the ${textBytes} of ${maxLength} tokens; shorten the prompt`,
    { code: 'context_length_exceeded' },
  );
}

/** Bytes of the longest token, at least 1. */
export function longestToken({ vocabSize, bytesOf }: Tokenizer): number {
  let longest = 1;
  for (let id = 0; id < vocabSize; id++) longest = Math.max(longest, bytesOf(id)?.length ?? 0);
  return longest;
}

/** The names of all models, the base's first. */
export const namesOf = ({ name, adapters }: Models): readonly string[] => [name, ...adapters];

/** The decoder's adapter that a model's name means, if one. Throws ApiError 404, with the names there are. */
export function adapterNamed(models: Models, name: string): string | undefined {
  const names = namesOf(models);
  if (names.includes(name)) return name === models.name ? undefined : name;
  const near = nearestName(name, names);
  const help = near ? `did you mean ${near}?` : `there is ${names.join(', ')}`;
  throw new ApiError(404, `there is no model "${oneLine(name)}"; ${help}`, {
    param: 'model',
    code: 'model_not_found',
  });
}

/**
 * How many tokens may follow a prompt: as many as were asked for or, where that was left out, `usual` if there
 * is room. Throws ApiError where the text would be too long.
 */
export function roomFor(
  { maxLength }: Models,
  prompt: number,
  { asked, usual }: { readonly asked?: number; readonly usual: number },
): number {
  const room = maxLength - prompt;
  const wanted = asked ?? Math.min(usual, Math.max(room, 1));
  if (wanted <= room) return wanted;
  const cure = room > 0 ? `lower max_tokens to ${room}` : 'shorten the prompt';
  throw new ApiError(
    400,
    `the prompt's ${prompt} tokens and ${wanted} new ones are more than the ${maxLength} of a text; ${cure}`,
    { code: 'context_length_exceeded' },
  );
}
