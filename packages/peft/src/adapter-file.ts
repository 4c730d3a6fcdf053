import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, readWhole, writeAtomic } from '@flex/base';
import { type Backend, eachTensor, type Shape, scope, tensor } from '@flex/tensor';
import { openSafetensors, type SafetensorsFile, toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import { type AdapterConfig, formatAdapterConfig, parseAdapterConfig } from './adapter-config.ts';
import { peftName } from './adapter-names.ts';
import {
  type AdapterPair,
  type Adapters,
  type AdapterWeights,
  embedding,
  flattenWeights,
  head,
  lowRankOf,
  wholePrefix,
} from './adapters.ts';
import { type LoraConfig, rankOf } from './lora.ts';
import { plainAdapter } from './plain-adapter.ts';
import { type StoredNames, type StoredPair, storedNames } from './stored-names.ts';
import { adaptableLayers, type LinearSize, type Linears } from './targets.ts';
import {
  idleBias,
  isTied,
  type WeightShapes,
  wholeModules,
  wholeShapes,
  wrongTokens,
} from './whole-weights.ts';

const configFile = 'adapter_config.json';
const weightsFile = 'adapter_model.safetensors';
const pickledFile = 'adapter_model.bin';

/** An adapter on a backend. */
export interface Adapter extends AdapterWeights {
  readonly params: Map<string, AdapterPair>;
  readonly config: LoraConfig;
  /** What the file says of the model that it belongs to. */
  readonly baseModel: string | null;
  /** What its files hold and was passed over, a line each. */
  readonly warnings: readonly string[];
}

/** What reading an adapter for a model needs of it. */
export interface AdapterTarget {
  readonly linears: Linears;
  readonly weights: WeightShapes;
}

/**
 * Reads a PEFT adapter for a model, in the order of whose layers its tensors come.
 *
 * Throws DataError, in one line that names the file and the tensor, for all that `readAdapterTensors`
 * refuses and for an adapter of another model: a module that the model does not have, a shape that does not
 * fit it, or a module that the config means and that has no weights. Nothing is uploaded before everything
 * is checked. As in PEFT, weights of modules that the config does not mean are passed over, with a warning,
 * and so is what the file has of the base model's own.
 */
export function readAdapter(backend: Backend, dir: string, { linears, weights }: AdapterTarget): Adapter {
  const layers = adaptableLayers(linears);
  return read(backend, dir, {
    layers(path, pairs, { adapts }) {
      const fail = (what: string): never => {
        throw new DataError(`${path}: adapter for another model: ${what}`);
      };
      for (const [module, names] of pairs) {
        if (!layers.has(module)) fail(`${names.a} belongs to "${module}", which is no layer of the model`);
      }
      const lacking = [...layers.keys()].find((module) => adapts(module) && !pairs.has(module));
      if (lacking) fail(`target_modules means "${lacking}" too, for which it has no weights`);
      return [...layers].filter(([module]) => pairs.has(module));
    },
    whole: (lora, adapted) => wholeShapes(lora, weights, adapted),
    weights,
    isTied: isTied(weights),
  });
}

/**
 * Reads a PEFT adapter by itself, without a model to compare it with; modules come in the order of their
 * numbers.
 *
 * Throws DataError, in one line that names the file and what is wrong in it: files that are missing or
 * damaged, kinds of adapters that we do not have, an A without its B, shapes that do not fit the rank.
 */
export function readAdapterTensors(backend: Backend, dir: string): Adapter {
  return read(backend, dir, {
    layers: (_path, pairs, _config, shapeOf) =>
      [...pairs]
        .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
        .map(([module, { a, b }]) => [module, { in: shapeOf(a)[1], out: shapeOf(b)[0] }]),
    whole: (_lora, _adapted, stored, shapeOf) =>
      new Map([...stored].map(([name, inFile]) => [name, shapeOf(inFile)])),
    weights: new Map(),
    isTied: true,
  });
}

type ShapeOf = (name: string) => Shape;

/** What a model says of an adapter's tensors. */
interface Expected {
  /** Modules with an adapter, in their order, and their sizes. Throws for those of another model. */
  layers(
    path: string,
    pairs: StoredNames['pairs'],
    config: AdapterConfig,
    shapeOf: ShapeOf,
  ): readonly (readonly [string, LinearSize])[];
  /** What is trained whole, beside pairs of the modules `adapted`. */
  whole(
    lora: LoraConfig,
    adapted: readonly string[],
    stored: StoredNames['whole'],
    shapeOf: ShapeOf,
  ): ReadonlyMap<string, Shape>;
  readonly weights: WeightShapes;
  /** Whether lm_head and the embedding are one weight, or may be. */
  readonly isTied: boolean;
}

function read(backend: Backend, dir: string, expected: Expected): Adapter {
  const configPath = join(dir, configFile);
  const config = parseAdapterConfig(configPath, readText(configPath));
  const { baseModel } = config;
  // As in PEFT, there is nothing to ensure where nothing is tied.
  const lora = { ...config.lora, ensureWeightTying: config.lora.ensureWeightTying && expected.isTied };
  const path = join(dir, weightsFile);
  const file = openWeights(dir, path);
  try {
    const stored = storedNames(file);
    const pairs = new Map([...stored.pairs].filter(([module]) => config.adapts(module)));
    const shapeOf = (name: string) => file.tensors.get(name)?.shape ?? [];
    const passedOver = [...stored.pairs.keys()].filter((module) => !pairs.has(module));
    if (pairs.size === 0) {
      const first = `such as ${passedOver[0]}`;
      throw new DataError(`${configPath}: means none of the modules that ${weightsFile} has, ${first}`);
    }
    if (lora.dora && pairs.has(embedding))
      throw new DataError(
        `${configPath}: "use_dora" is not supported on "${embedding}", which "target_modules" means`,
      );
    for (const [module, { a, b, ...vectors }] of pairs) {
      const rank = rankOf(lora, module);
      checkVectors(path, module, vectors, lora);
      checkRank(path, a, shapeOf(a), 0, rank);
      checkRank(path, b, shapeOf(b), 1, rank);
    }
    const sizes = expected.layers(path, pairs, config, shapeOf);
    for (const [module, size] of sizes) {
      const { a, b, ...vectors } = pairs.get(module) as StoredPair;
      const rank = rankOf(lora, module);
      checkShape(path, a, shapeOf(a), [rank, size.in]);
      checkShape(path, b, shapeOf(b), [size.out, rank]);
      for (const name of Object.values(vectors)) checkShape(path, name, shapeOf(name), [size.out]);
    }
    const wrong = wrongTokens(lora, expected.weights);
    if (wrong !== null) throw new DataError(`${configPath}: "trainable_token_indices" ${wrong}`);
    const whole = expected.whole(lora, [...pairs.keys()], stored.whole, shapeOf);
    const twice = wholeModules(whole).find((module) => pairs.has(module));
    if (twice !== undefined)
      throw new DataError(`${configPath}: "${twice}" cannot be trained whole and adapted`);
    for (const [name, shape] of whole) {
      const inFile = stored.whole.get(name);
      if (inFile === undefined)
        throw new DataError(
          `${path}: has no "${peftName(wholePrefix + name, (module) => pairs.has(module))}"`,
        );
      checkShape(path, inFile, shapeOf(inFile), shape);
    }
    const own = ownWeights(path, stored, whole, lora);
    for (const [name, inFile] of own) {
      const shape = expected.weights.get(name)?.shape;
      if (shape) checkShape(path, inFile, shapeOf(inFile), shape);
    }
    const load = (name: string) =>
      tensor(backend, toFloat32(file.tensors.get(name)?.dtype ?? 'F32', file.read(name)), shapeOf(name));
    const pairOf = (names: StoredPair): AdapterPair => {
      const tensors = Object.entries(names).map(([member, name]) => [member, load(name)] as const);
      return Object.fromEntries(tensors) as AdapterPair;
    };
    // The scope frees what was uploaded when the device cannot take the rest.
    const loaded = scope(() => ({
      params: new Map(sizes.map(([module]) => [module, pairOf(pairs.get(module) as StoredPair)])),
      whole: new Map([...whole.keys()].map((name) => [name, load(stored.whole.get(name) as string)])),
    }));
    const idle = idleBias(lora, whole);
    const warnings = [...(idle === null ? [] : [`${configPath}: "bias" ${idle}`]), ...config.warnings];
    const others = lora.ensureWeightTying ? passedOver.filter((module) => module !== head) : passedOver;
    if (others.length > 0) {
      const count = `${others.length} of the ${stored.pairs.size} modules in ${weightsFile}`;
      warnings.push(
        `${configPath}: does not mean ${count}, such as ${others[0]}: they are passed over, as in PEFT`,
      );
    }
    if (own.size > 0)
      warnings.push(
        `${path}: has ${[...own.keys()].join(', ')} of its base model, for which the model's own is taken`,
      );
    return { ...loaded, config: lora, baseModel, warnings };
  } finally {
    file.close();
  }
}

/**
 * What the file has of the base model's own weights, by the checkpoint's names: PEFT saves the embedding and
 * lm_head where one of them has an adapter. Throws DataError for another weight that the config does not
 * mean.
 */
function ownWeights(
  path: string,
  stored: StoredNames,
  meant: ReadonlyMap<string, Shape>,
  { ensureWeightTying = false }: LoraConfig,
): Map<string, string> {
  const own = new Map(stored.base);
  for (const [name, inFile] of stored.whole) {
    if (meant.has(name)) continue;
    if (name !== `${head}.weight` && name !== `${embedding}.weight`)
      throw new DataError(
        `${path}: tensor "${inFile}" is of a module that ${configFile} does not mean to save`,
      );
    // A tied lm_head that follows the embedding is the same again.
    if (!(ensureWeightTying && name === `${head}.weight`)) own.set(name, inFile);
  }
  return own;
}

function openWeights(dir: string, path: string): SafetensorsFile {
  if (!existsSync(path) && existsSync(join(dir, pickledFile))) {
    const program = `import torch, safetensors.torch as s; s.save_file(torch.load("${pickledFile}"), "${weightsFile}")`;
    throw new DataError(
      `${path}: is not there, and ${pickledFile}, PyTorch's pickled format, is not read; convert it in that folder: ` +
        `python -c '${program}'`,
    );
  }
  return openSafetensors(path);
}

function readText(path: string): string {
  try {
    return readWhole(path).toString();
  } catch (cause) {
    throw new DataError(
      `${path}: cannot be read; give the folder of a PEFT adapter: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

/** DoRA's magnitude, and B's bias, are there for all modules or for none, as the config says. */
function checkVectors(
  path: string,
  module: string,
  vectors: Omit<StoredPair, 'a' | 'b'>,
  { dora = false, loraBias = false }: LoraConfig,
): void {
  for (const [member, key, needed] of [
    ['magnitude', 'use_dora', dora],
    ['bias', 'lora_bias', loraBias],
  ] as const) {
    if ((vectors[member] !== undefined) === needed) continue;
    const name = peftName(`${module}.${member}`);
    throw new DataError(`${path}: has ${needed ? 'no' : 'a'} "${name}", though "${key}" is ${needed}`);
  }
}

function checkRank(path: string, name: string, has: readonly number[], axis: 0 | 1, rank: number): void {
  if (has.length === 2 && has[axis] === rank) return;
  const expects = axis === 0 ? `[${rank}, in]` : `[out, ${rank}]`;
  throw new DataError(
    `${path}: ${name} expects ${expects} of the rank in ${configFile}, has [${has.join(', ')}]`,
  );
}

function checkShape(path: string, name: string, has: readonly number[], expects: readonly number[]): void {
  if (has.join() === expects.join()) return;
  const shapes = `expects [${expects.join(', ')}], has [${has.join(', ')}]`;
  throw new DataError(`${path}: adapter for another model: ${name} ${shapes}`);
}

export interface WriteAdapterOptions {
  readonly baseModel?: string | null;
  /** Weights that take the place of the base model's. */
  readonly whole?: AdapterWeights['whole'];
  /**
   * What was taken out of the base model: the adapter is written as the plain one for the model as it was.
   */
  readonly removed?: Adapters | null;
}

/**
 * Writes `adapter_config.json` and `adapter_model.safetensors` (f32) into `dir`, which is made where it is
 * missing. PEFT loads them and computes the same; the weights' bytes are those that PEFT writes. Each file
 * appears whole or not at all, the weights first.
 *
 * Throws ConfigError for a config that PEFT cannot express, DataError when the disk refuses.
 */
export async function writeAdapter(
  dir: string,
  params: Adapters,
  config: LoraConfig,
  { baseModel = null, whole = new Map(), removed = null }: WriteAdapterOptions = {},
): Promise<void> {
  const plain = removed ? plainAdapter(params, removed, config) : { params, config };
  const text = formatAdapterConfig(plain.config, [...params.keys()], baseModel);
  const named = flattenWeights({ params: plain.params, whole });
  const table = whole.get(`${embedding}.weight`);
  // PEFT has a tied lm_head twice, and needs it so.
  if (config.ensureWeightTying && table) named.set(`${wholePrefix}${head}.weight`, table);
  const values = [...named].map(async ([name, t]) => {
    const data = Float32Array.from(await t.data());
    const inFile = peftName(name, (path) => params.has(path));
    return [inFile, { dtype: 'F32', shape: t.shape, data }] as const;
  });
  const tensors = new Map(await Promise.all(values));
  if (removed) eachTensor(lowRankOf(plain.params), (t) => t.dispose());
  makeFolder(dir);
  writeSafetensors(join(dir, weightsFile), tensors);
  writeAtomic(join(dir, configFile), text);
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (cause) {
    throw new DataError(`${dir}: cannot be written: ${(cause as Error).message}`, { cause });
  }
}
