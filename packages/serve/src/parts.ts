import type { GenerateRequest, ScoredToken } from '@flex/llama';
import type { Served } from './served.ts';

/** A token of a text, where it was asked to be scored. */
export interface PartToken {
  readonly id: number;
  /** Null for the first token of a prompt, before which there is nothing. */
  readonly scored: ScoredToken | null;
  /** Where it begins in the text, in characters (code points). */
  readonly offset: number;
}

/** What has been added to a text, or all of it. */
export interface Part {
  readonly text: string;
  readonly tokens: readonly PartToken[];
  /** Null: the text goes on. */
  readonly finish: 'stop' | 'length' | null;
}

/** A text that a request asks for. */
export interface Wanted {
  readonly request: GenerateRequest;
  /** The text of the prompt, where it is to stand before its continuation. */
  readonly echo: string | null;
}

export interface ContinueOptions {
  readonly signal: AbortSignal;
  /** Told of each part of a text as it is certain, by the text's place in the request. */
  readonly onPart: (index: number, part: Part) => void;
}

/**
 * Continues the texts of one request. Gives the number of new tokens. Throws what the decoder and the queue
 * throw.
 */
export async function continueTexts(
  served: Served,
  wanted: readonly Wanted[],
  { signal, onPart }: ContinueOptions,
): Promise<number> {
  const counts = await served.queue.run(
    wanted.map(
      (one, index) => () => continueText(served, one, { signal, onPart: (part) => onPart(index, part) }),
    ),
  );
  return counts.reduce((total, count) => total + count, 0);
}

interface ContinueTextOptions {
  readonly signal: AbortSignal;
  readonly onPart: (part: Part) => void;
}

async function continueText(
  { decoder, tokenizer }: Served,
  { request, echo }: Wanted,
  { signal, onPart }: ContinueTextOptions,
): Promise<number> {
  const tokens = newTokenPlaces();
  const stream = tokenizer.decodeStream({ continuation: true });
  const onToken = (id: number, scored?: ScoredToken) => {
    if (scored) tokens.add({ id, scored }, stream.push(id));
  };
  const tell = (text: string, finish: Part['finish']) => onPart({ text, tokens: tokens.take(), finish });
  if (request.promptLogprobs === undefined) {
    if (echo !== null) {
      tokens.skip(echo);
      tell(echo, null);
    }
    const onText = (text: string) => tell(text, null);
    const { ids, finish } = await decoder.submit(request, { signal, onToken, onText });
    tell('', finish === 'length' ? 'length' : 'stop');
    return ids.length;
  }
  // The prompt's own log-probabilities come last and stand first.
  const { ids, text, finish, logprobs = [], promptLogprobs = [] } = await decoder.submit(request, { signal });
  const promptStream = tokenizer.decodeStream();
  for (const [i, id] of request.prompt.entries())
    tokens.add({ id, scored: promptLogprobs[i] ?? null }, promptStream.push(id));
  for (const scored of logprobs) onToken(scored.id, scored);
  tell(`${echo ?? ''}${text}`, finish === 'length' ? 'length' : 'stop');
  return ids.length;
}

/** Tokens that wait for their part. */
function newTokenPlaces() {
  let offset = 0;
  let tokens: PartToken[] = [];
  const skip = (text: string) => {
    for (const _ of text) offset++;
  };
  return {
    skip,
    /** A token, and the text that it completes. */
    add(token: Omit<PartToken, 'offset'>, text: string) {
      tokens.push({ ...token, offset });
      skip(text);
    },
    take(): readonly PartToken[] {
      const taken = tokens;
      tokens = [];
      return taken;
    },
  };
}

/** The parts of a text as one. */
export function joined(parts: readonly Part[]): Part {
  return {
    text: parts.map(({ text }) => text).join(''),
    tokens: parts.flatMap(({ tokens }) => tokens),
    finish: parts.at(-1)?.finish ?? null,
  };
}
