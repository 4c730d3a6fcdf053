import { join } from 'node:path';
import {
  type AdapterSource,
  ConfigError,
  digestJson,
  type InputFiles,
  type Inputs,
  type Source,
  sourceOf,
} from '@flex/base';
import {
  complete,
  type Generate,
  isSampleFile,
  type Problem,
  readSamples,
  type Sample,
  type Truncation,
} from '@flex/eval';
import {
  beyondContext,
  type Completion,
  generate,
  generateAll,
  openTokenizer,
  readConfig,
  storageName,
  type Tokenizer,
} from '@flex/llama';
import type { StorageType } from '@flex/peft';
import type { QuantizedDType } from '@flex/tensor';
import { decidesModel } from '@flex/train';
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
  readonly quantize?: QuantizedDType;
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
  /** What the samples are made from. */
  readonly inputs: Omit<Inputs, 'data' | 'modules' | 'options'>;
  /** How the completions are decoded; null for a file, which does not say. */
  readonly decoding: Readonly<Record<string, unknown>> | null;
  readonly truncation: Truncation;
  samples(request: SampleRequest): Promise<Sample[]>;
}

export interface SampleRequest {
  readonly problems: readonly Problem[];
  /** The folder of results, locked, where finished completions are kept. */
  readonly out: string;
  readonly output: Output;
  readonly progress: EvalProgress;
  readonly signal: AbortSignal;
  /** Called when all is read and nothing generated, with the device that generates; null: none. */
  readonly onRead: (device: string | null) => void;
}

/**
 * The source that the options name; `files` digests what it reads. Throws ConfigError for options that do not go
 * together.
 */
export function sampleSource(options: SampleOptions, files: InputFiles): SampleSource {
  const { samples, model } = options;
  if ((samples === undefined) === (model === undefined)) {
    throw new ConfigError('eval: give --samples FILE or --model DIR, one of them');
  }
  return samples === undefined
    ? fromModel(options, model as string, files)
    : fromFile(options, samples, files);
}

/** Options that say how a model is run. */
const modelOnly = {
  adapter: '--adapter',
  merged: '--merged',
  dtype: '--dtype',
  quantize: '--quantize',
  temperature: '--temperature',
  topP: '--top-p',
  topK: '--top-k',
  numBeams: '--num-beams',
  maxNewTokens: '--max-new-tokens',
  seed: '--seed',
  batchSize: '--batch-size',
  threads: '--threads',
} as const satisfies Partial<Record<keyof SampleOptions, string>>;

function fromFile(options: SampleOptions, path: string, files: InputFiles): SampleSource {
  const keys = Object.keys(modelOnly) as (keyof typeof modelOnly)[];
  const stray = keys.find((key) => options[key] !== undefined);
  if (stray) throw new ConfigError(`${modelOnly[stray]}: belongs to --model, and --samples was given`);
  const digests = files.digest(path, isSampleFile);
  return {
    identity: digestJson(digests.map(({ sha256 }) => sha256)),
    inputs: {
      model: null,
      adapters: [],
      merged: null,
      dtype: null,
      samples: sourceOf(path, digests),
      seeds: {},
    },
    decoding: null,
    truncation: options.truncate ?? 'none',
    async samples({ problems, onRead }) {
      const found: Sample[] = [];
      for await (const sample of readSamples(path, problems)) found.push(sample);
      onRead(null);
      return found;
    },
  };
}

function fromModel(options: SampleOptions, dir: string, files: InputFiles): SampleSource {
  const {
    adapter,
    merged = false,
    n = 1,
    seed = 0,
    truncate: truncation = 'stop-list',
    dtype: ofMatrices = 'auto',
    quantize,
  } = options;
  const dtype = storageName({ dtype: ofMatrices, quantize });
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
  const source = (folder: string) => sourceOf(folder, files.digest(folder, decidesModel));
  const model = source(dir);
  const adapters = (adapter ?? []).map((choice) => ({ ...source(choice.dir), weight: choice.weight }));
  const identity = digestJson({
    model: contentsOf(model),
    adapter: adapter === undefined ? null : contentsOfAdapters(adapters),
    merged,
    dtype,
  });
  return {
    identity,
    inputs: { model, adapters, merged: storageOf(merged), dtype, samples: null, seeds: { seed } },
    decoding: { ...decoding, seed, dtype, merged },
    truncation,
    async samples({ problems, out, output, progress, signal, onRead }) {
      const tokenizer = openTokenizer(dir);
      const prompt = Math.max(1, ...problems.map((problem) => tokenizer.encode(problem.prompt).length));
      const length = prompt + maxNewTokens;
      const beyond = beyondContext(readConfig(dir), length);
      if (beyond) output.warn(`the longest text: ${beyond}`);
      const texts = { rows: numBeams === 1 ? batchSize : numBeams, prompt, length, batched: numBeams === 1 };
      const chosen = { ...options, model: dir, dtype: ofMatrices };
      const opened = await openModel(chosen, output, { decoding: texts, signal });
      onRead(opened.backend.description);
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
function contentsOfAdapters(adapters: readonly AdapterSource[]): unknown {
  const parts = adapters.map((adapter) => ({ files: contentsOf(adapter), weight: adapter.weight }));
  return parts.length === 1 && parts[0].weight === 1 ? parts[0].files : parts;
}

const contentsOf = ({ files }: Source) => files.map(({ sha256 }) => sha256);

/** What merged weights are rounded to; null where they are not merged. */
const storageOf = (merged: boolean | StorageType) => (merged === true ? 'f32' : merged || null);

/** Prompts in a call for each that is decoded at a time: places stand empty at the end of a call only. */
const promptsPerPlace = 8;

/** Generates with `generateAll`; with beams, one prompt after the other. */
function generatorOf(
  { model }: RunnableModel,
  tokenizer: Tokenizer,
  { batchSize, numBeams }: { batchSize: number; numBeams: number },
): Generate {
  return async (requests, signal, keep) => {
    const asked = requests.map(({ prompt, stop, seed, decoding }) => {
      return { ...decoding, prompt: tokenizer.encode(prompt), seed, stop, tokenizer };
    });
    const texts = asked.map(() => '');
    const onCompletion = (i: number, { text }: Completion) => {
      texts[i] = text;
      keep(i, text);
    };
    if (numBeams === 1) {
      await generateAll(model, asked, { batchSize, onCompletion, signal });
    } else {
      for (const [i, request] of asked.entries()) {
        signal?.throwIfAborted();
        onCompletion(i, await generate(model, request.prompt, request));
      }
    }
    return texts;
  };
}
