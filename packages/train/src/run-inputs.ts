import { basename } from 'node:path';
import {
  digestJson,
  type FileDigest,
  type InputFiles,
  type Inputs,
  importPart,
  lastName,
  type ModuleDigest,
  sourceOf,
} from '@flex/base';
import { storageName } from '@flex/llama';
import { plainConfig, type TrainConfig, withModules } from './config.ts';
import { isSection, respellConfig, type Section } from './config-section.ts';
import { withContents } from './with-contents.ts';

/** Whether a file of a model's or adapter's folder decides its weights or words; merge.json only tells. */
export function decidesModel(file: string): boolean {
  return /\.(json|jinja|safetensors|model)$/.test(file) && basename(file) !== 'merge.json';
}

/** Watches the files that a run of this configuration reads. Throws DataError where one is not there. */
export function watchRun({ model, adapter, data, eval: heldOut }: TrainConfig, files: InputFiles): void {
  for (const folder of [model, ...(adapter === null ? [] : [adapter])]) files.watch(folder, decidesModel);
  for (const { source } of [data, ...heldOut]) files.watch(source);
}

/** What must be the same in a run that goes on. */
export interface RunDigests {
  /**
   * SHA-256 of all that decides an update: configuration, parts, model, adapter, training data; not of how
   * many updates there are.
   */
  readonly run: string;
  /** SHA-256 of the held-out data's names, contents and how they are read, in their order. */
  readonly held_out: string;
}

/** What goes into a run of this configuration. */
export async function runInputs(
  config: TrainConfig,
  files: InputFiles,
): Promise<{ readonly inputs: Inputs; readonly digests: RunDigests }> {
  const modules = await digestModules(config, files);
  const model = files.digest(config.model, decidesModel);
  const adapter = config.adapter === null ? [] : files.digest(config.adapter, decidesModel);
  const data = files.digest(config.data.source);
  const heldOut = [...new Set(config.eval.map(({ source }) => source))];
  const plain = plainWithDigests(await withContents(config, files), modules);
  return {
    inputs: {
      model: sourceOf(config.model, model),
      adapters: config.adapter === null ? [] : [{ ...sourceOf(config.adapter, adapter), weight: 1 }],
      merged: null,
      dtype: storageName(config),
      samples: null,
      data: [
        { use: 'training', ...sourceOf(config.data.source, data) },
        ...heldOut.map((path) => ({ use: 'held-out' as const, ...sourceOf(path, files.digest(path)) })),
      ],
      modules,
      options: digestJson(deciding(plain)),
      seeds: seedsOf(config),
    },
    digests: {
      run: digestJson([decisive(plain), ...[model, adapter, data].map(contents)]),
      held_out: digestJson([
        readingsOf(plain),
        config.eval.map(({ source }) => [lastName(source), contents(files.digest(source))]),
      ]),
    },
  };
}

/**
 * SHA-256 of all that decides a run's adapter and its held-out losses: two runs of one key are one run.
 */
export async function runKey(config: TrainConfig, files: InputFiles): Promise<string> {
  const { inputs, digests } = await runInputs(config, files);
  return keyOf(digests, inputs);
}

/** The key of a run with these digests and inputs. */
export function keyOf(digests: RunDigests, { options }: Pick<Inputs, 'options'>): string {
  return digestJson({ ...digests, options });
}

/** The modules that the configuration takes parts from, each once. */
async function digestModules(config: TrainConfig, files: InputFiles): Promise<ModuleDigest[]> {
  const used = new Set<string>();
  withModules({ ...config }, (file) => used.add(file));
  return Promise.all(
    [...used].map(async (file) => ({ part: (await importPart(file)).name, ...files.digest(file)[0] })),
  );
}

/** The configuration's keys; a part's module goes by its name and its bytes, wherever it lies. */
function plainWithDigests(config: TrainConfig, modules: readonly ModuleDigest[]): Section {
  const moved = withModules({ ...config }, (file) => {
    const { part, sha256 } = modules.find(({ path }) => path === file)!;
    return `${part} ${sha256}`;
  });
  return plainConfig(moved as unknown as TrainConfig);
}

/** Keys of `train` that decide neither the adapter nor a loss. */
const bookkeeping = ['save_every', 'keep_checkpoints', 'spectrum_every', 'checkpoint_activations'];

/** Keys of `train` that change no update, but how many there are and what is kept of them. */
const decidesNoUpdate = [...bookkeeping, 'epochs', 'max_steps', 'eval_every', 'best_by', 'patience'];

/** The options that decide what a run gives, its held-out losses too, but for the files it names. */
function deciding(plain: Section): Section {
  const train = Object.entries(plain.train as Section).filter(([key]) => !bookkeeping.includes(key));
  const { callbacks } = plain;
  return { ...decisive(plain), eval: readingsOf(plain), callbacks, train: Object.fromEntries(train) };
}

/** How the held-out data are read. */
function readingsOf({ eval: heldOut }: Section): Section[] {
  return (heldOut as Section[]).map(({ source: _, ...reading }) => reading);
}

/** What of a configuration decides an update, but for the files it names, whose contents are digested. */
function decisive({ model, data, lora, optimizer, schedule, regularizer, dtype, train }: Section): Section {
  const training = Object.entries(train as Section).filter(([key]) => !decidesNoUpdate.includes(key));
  return {
    data: readingOf(data as Section),
    lora,
    optimizer,
    schedule,
    regularizer,
    dtype,
    ...(isSection(model) && { quantize: model.quantize }),
    train: Object.fromEntries(training),
  };
}

/** How data are read, which does not depend on where they lie and on what else is held out. */
function readingOf({ source: _s, allow_overlap: _a, ...reading }: Section): Section {
  return reading;
}

function contents(digests: readonly FileDigest[]): string[] {
  return digests.map(({ sha256 }) => sha256);
}

/** Every option that is a seed, by its path: that of the run, and those of its parts. */
function seedsOf(config: TrainConfig): Record<string, number> {
  const sections = Object.entries(respellConfig({ ...config })).flatMap(([key, value]) =>
    Array.isArray(value) ? value.map((entry, i) => [`${key}.${i}`, entry]) : [[key, value]],
  );
  const seeds = sections.flatMap(([path, section]) =>
    Object.entries(isSection(section) ? section : {}).flatMap(([key, value]) =>
      /(^|_)seed$/.test(key) && typeof value === 'number' ? [[`${path}.${key}`, value] as const] : [],
    ),
  );
  return Object.fromEntries(seeds);
}
