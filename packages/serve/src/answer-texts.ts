import { randomUUID } from 'node:crypto';
import { continueTexts, joined, type Part, type Wanted } from './parts.ts';
import type { Reply } from './reply.ts';
import type { Served } from './served.ts';

/** How one of the two endpoints writes the texts of its answers. */
export interface AnswerFormat {
  readonly idPrefix: string;
  /** What an answer and an event of a stream call themselves. */
  readonly object: { readonly whole: string; readonly chunk: string };
  /** A choice of an answer. */
  whole(part: Part): object;
  /** A choice of an event. */
  chunk(part: Part): object;
  /** What the first event of each choice has, before any part; null: there is none such. */
  readonly opening: object | null;
}

export interface TextsRequest {
  /** The model's name. */
  readonly model: string;
  readonly wanted: readonly Wanted[];
  /** Tokens of the prompts, each counted once. */
  readonly promptTokens: number;
  readonly stream: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
}

/** Continues the texts of a request and answers with them, all at the end or part by part. */
export async function answerTexts(
  served: Served,
  { model, wanted, promptTokens, stream, stream_options }: TextsRequest,
  {
    format,
    reply,
    signal,
  }: { readonly format: AnswerFormat; readonly reply: Reply; readonly signal: AbortSignal },
): Promise<void> {
  const head = (object: string) => ({ id, object, created, model });
  const id = `${format.idPrefix}-${randomUUID()}`;
  const created = Math.floor(Date.now() / 1000);
  const usageOf = (completionTokens: number) => ({
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  });
  const parts: Part[][] = wanted.map(() => []);
  if (!stream) {
    const tokens = await continueTexts(served, wanted, { signal, onPart: (i, part) => parts[i].push(part) });
    const choices = parts.map((all, index) => ({ index, ...format.whole(joined(all)) }));
    return reply.json({ ...head(format.object.whole), choices, usage: usageOf(tokens) });
  }
  const { include_usage: usage = false } = stream_options ?? {};
  const events = reply.stream();
  const begun = new Set<number>();
  const send = (choices: readonly object[], counted: object | null) =>
    events.send({ ...head(format.object.chunk), choices, ...(usage && { usage: counted }) });
  const onPart = (index: number, part: Part) => {
    if (format.opening && !begun.has(index)) send([{ index, ...format.opening }], null);
    begun.add(index);
    send([{ index, ...format.chunk(part) }], null);
  };
  const tokens = await continueTexts(served, wanted, { signal, onPart });
  if (usage) send([], usageOf(tokens));
  events.end();
}
