import { join } from 'node:path';
import { ConfigError, digestAll, digestJson, makeFolder } from '@flex/base';
import {
  complete,
  type Generate,
  isSampleFile,
  type Problem,
  readSamples,
  type Sample,
  type Truncation,
} from '@flex/eval';
import { type Completion, generate, generateAll, openTokenizer, type Tokenizer } from '@flex/llama';
import type { StorageType } from '@flex/peft';
import { digestModel } from '@flex/train';
import { type AdapterChoice, onlyAdapter } from './adapter-option.ts';
import type { Output } from './context.ts';
import type { DeviceOptions } from './device.ts';
import type { EvalProgress } from './eval-progress.ts';
import { openModel, type RunnableModel } from './open-model.ts';
import { checkSampling } from './sampling-options.ts';

/** Where `flex eval` takes its samples from: a file, or a model. */
export interface SampleOptions extends DeviceOptions {
  readonly samples?: string;
  readonly model?: string;
  readonly adapter?: readonly AdapterChoice[];
  readonly merged?: boolean | StorageType;
  readonly dtype?: string;
  readonly n?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly numBeams?: number;
  readonly maxNewTokens?: number;
  readonly seed?: number;
  readonly batchSize?: number;
  readonly truncate?: Truncation;
}

export interface SampleSource {
  /** Equal for equal files, or equal models. */
  readonly identity: string;
  /** How the completions are decoded; null for a file, which does not say. */
  readonly decoding: Readonly<Record<string, unknown>> | null;
  readonly truncation: Truncation;
  samples(request: SampleRequest): Promise<Sample[]>;
}

export interface SampleRequest {
  readonly problems: readonly Problem[];
  /** The folder of results, where finished completions are kept. */
  readonly out: string;
  readonly output: Output;
  readonly progress: EvalProgress;
  readonly signal: AbortSignal;
}

/** The source that the options name. Throws ConfigError for options that do not go together. */
export function sampleSource(options: SampleOptions): SampleSource {
  const { samples, model } = options;
  if ((samples === undefined) === (model === undefined)) {
    throw new ConfigError('eval: give --samples FILE or --model DIR, one of them');
  }
  return samples === undefined ? fromModel(options, model as string) : fromFile(options, samples);
}

/** Options that say how a model is run. */
const modelOnly = {
  adapter: '--adapter',
  merged: '--merged',
  dtype: '--dtype',
  temperature: '--temperature',
  topP: '--top-p',
  topK: '--top-k',
  numBeams: '--num-beams',
  maxNewTokens: '--max-new-tokens',
  seed: '--seed',
  batchSize: '--batch-size',
  threads: '--threads',
} as const satisfies Partial<Record<keyof SampleOptions, string>>;

function fromFile(options: SampleOptions, path: string): SampleSource {
  const keys = Object.keys(modelOnly) as (keyof typeof modelOnly)[];
  const stray = keys.find((key) => options[key] !== undefined);
  if (stray) throw new ConfigError(`${modelOnly[stray]}: belongs to --model, and --samples was given`);
  return {
    identity: digestJson(digestAll(path, isSampleFile).map(({ sha256 }) => sha256)),
    decoding: null,
    truncation: options.truncate ?? 'none',
    async samples({ problems }) {
      const found: Sample[] = [];
      for await (const sample of readSamples(path, problems)) found.push(sample);
      return found;
    },
  };
}

function fromModel(options: SampleOptions, dir: string): SampleSource {
  const {
    adapter,
    merged = false,
    n = 1,
    seed = 0,
    truncate: truncation = 'stop-list',
    dtype = 'auto',
  } = options;
  const { temperature = 0, topP, topK, numBeams = 1, maxNewTokens = 512 } = options;
  const { batchSize = 8 } = options;
  const sampling = { maxNewTokens, temperature, topP, topK, numBeams };
  checkSampling(sampling);
  if (n > 1 && temperature === 0) {
    throw new ConfigError('--n: above 1 needs --temperature above 0; else all samples are the same');
  }
  if (numBeams > 1 && options.batchSize !== undefined) {
    throw new ConfigError('--batch-size: has no effect with --num-beams, which takes one prompt at a time');
  }
  if (merged && adapter === undefined) throw new ConfigError('--merged: needs --adapter, which it folds in');
  if (merged && adapter !== undefined) onlyAdapter(adapter);
  // What is undefined is left out.
  const places = numBeams === 1 ? batchSize : 1;
  const decoding = JSON.parse(JSON.stringify({ ...sampling, batchSize: places })) as typeof sampling;
  const identity = digestJson({
    model: contentsOf(dir),
    adapter: adapter === undefined ? null : contentsOfAdapters(adapter),
    merged,
    dtype,
  });
  return {
    identity,
    decoding: { ...decoding, seed, dtype, merged },
    truncation,
    async samples({ problems, out, output, progress, signal }) {
      makeFolder(out);
      const tokenizer = openTokenizer(dir);
      const opened = await openModel({ ...options, model: dir, dtype }, output);
      const made: Sample[] = [];
      const generated = complete({
        problems:
          truncation === 'stop-list' ? problems : problems.map((problem) => ({ ...problem, stop: [] })),
        generate: generatorOf(opened, tokenizer, { batchSize, numBeams }),
        model: identity,
        decoding,
        seed,
        n,
        batchSize: numBeams === 1 ? promptsPerPlace * batchSize : 1,
        cache: join(out, 'completions.jsonl'),
        truncation,
        signal,
      });
      for await (const { problem, completion, row } of generated) {
        made.push({ problem, completion, row });
        progress.generated(made.length, problems.length * n);
      }
      await opened.close();
      return made;
    },
  };
}

/** One adapter as it is counts by its files; a sum by those and the weights. */
function contentsOfAdapters(choices: readonly AdapterChoice[]): unknown {
  const parts = choices.map(({ dir, weight }) => ({ files: contentsOf(dir), weight }));
  return parts.length === 1 && parts[0].weight === 1 ? parts[0].files : parts;
}

const contentsOf = (folder: string) => digestModel(folder).map(({ sha256 }) => sha256);

/** Prompts in a call for each that is decoded at a time: places stand empty at the end of a call only. */
const promptsPerPlace = 8;

/**
 * Generates with `generateAll`; with beams, one prompt after the other. A prompt that leaves fewer tokens of the
 * context than were asked for gets those it leaves; one that leaves none gets an empty completion.
 */
function generatorOf(
  { model }: RunnableModel,
  tokenizer: Tokenizer,
  { batchSize, numBeams }: { batchSize: number; numBeams: number },
): Generate {
  const { maxPositions } = model.config;
  return async (requests, signal, keep) => {
    const asked = requests.map(({ prompt, stop, seed, decoding }) => {
      const ids = tokenizer.encode(prompt);
      const maxNewTokens = Math.min(decoding.maxNewTokens, maxPositions - ids.length);
      return { ...decoding, prompt: ids, maxNewTokens, seed, stop, tokenizer };
    });
    const texts = asked.map(() => '');
    const fitting = [...asked.entries()].filter(([, { maxNewTokens }]) => maxNewTokens >= 1);
    const onCompletion = (i: number, { text }: Completion) => {
      const [index] = fitting[i];
      texts[index] = text;
      keep(index, text);
    };
    if (numBeams === 1) {
      const options = { batchSize, onCompletion, signal };
      await generateAll(
        model,
        fitting.map(([, request]) => request),
        options,
      );
    } else {
      for (const [i, [, request]] of fitting.entries()) {
        signal?.throwIfAborted();
        onCompletion(i, await generate(model, request.prompt, request));
      }
    }
    return texts;
  };
}
