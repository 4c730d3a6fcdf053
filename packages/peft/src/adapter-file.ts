import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, readWhole, writeAtomic } from '@flex/base';
import { type Backend, scope, tensor } from '@flex/tensor';
import { openSafetensors, type SafetensorsFile, toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import { type AdapterConfig, formatAdapterConfig, parseAdapterConfig } from './adapter-config.ts';
import { type Member, parsePeftName, peftName } from './adapter-names.ts';
import { type AdapterPair, type Adapters, type AdapterWeights, flattenWeights } from './adapters.ts';
import { type LoraConfig, rankOf } from './lora.ts';
import type { LinearSize, Linears } from './targets.ts';

const configFile = 'adapter_config.json';
const weightsFile = 'adapter_model.safetensors';
const pickledFile = 'adapter_model.bin';
const floats: readonly string[] = ['F32', 'F16', 'BF16', 'F64'];

/** An adapter on a backend. */
export interface Adapter extends AdapterWeights {
  readonly params: Map<string, AdapterPair>;
  readonly config: LoraConfig;
  /** What the file says of the model that it belongs to. */
  readonly baseModel: string | null;
  /** What its files hold and was passed over, a line each. */
  readonly warnings: readonly string[];
}

/** Names in the file of a module's tensors. */
type Stored = Readonly<Record<'a' | 'b', string> & Partial<Record<Member, string>>>;

/**
 * Reads a PEFT adapter for a model with the linear layers `linears`, in whose order its tensors come.
 *
 * Throws DataError, in one line that names the file and the tensor, for all that `readAdapterTensors` refuses
 * and for an adapter of another model: a module that the model does not have, a shape that does not fit it,
 * or a module that the config means and that has no weights. Nothing is uploaded before everything is
 * checked. As in PEFT, weights of modules that the config does not mean are passed over, with a warning.
 */
export function readAdapter(backend: Backend, dir: string, linears: Linears): Adapter {
  return read(backend, dir, (path, stored, { adapts }) => {
    const fail = (what: string): never => {
      throw new DataError(`${path}: adapter for another model: ${what}`);
    };
    for (const [module, names] of stored) {
      const size = linears.get(module);
      if (!size) return fail(`${names.a} belongs to "${module}", which is no linear layer of the model`);
    }
    const lacking = [...linears.keys()].find((module) => adapts(module) && !stored.has(module));
    if (lacking) fail(`target_modules means "${lacking}" too, for which it has no weights`);
    return [...linears].filter(([module]) => stored.has(module));
  });
}

/**
 * Reads a PEFT adapter by itself, without a model to compare it with; modules come in the order of their
 * numbers.
 *
 * Throws DataError, in one line that names the file and what is wrong in it: files that are missing or
 * damaged, kinds of adapters other than W + s·B·A on linear layers, an A without its B, shapes that do not
 * fit the rank.
 */
export function readAdapterTensors(backend: Backend, dir: string): Adapter {
  return read(backend, dir, (_path, stored, _config, shapeOf) =>
    [...stored]
      .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
      .map(([module, { a, b }]) => [module, { in: shapeOf(a)[1], out: shapeOf(b)[0] }]),
  );
}

/** Decides on the modules' order and sizes, or throws. */
type Arrange = (
  path: string,
  stored: ReadonlyMap<string, Stored>,
  config: AdapterConfig,
  shapeOf: (name: string) => readonly number[],
) => readonly (readonly [string, LinearSize])[];

function read(backend: Backend, dir: string, arrange: Arrange): Adapter {
  const configPath = join(dir, configFile);
  const config = parseAdapterConfig(configPath, readText(configPath));
  const path = join(dir, weightsFile);
  const file = openWeights(dir, path);
  try {
    const inFile = pairNames(file);
    const stored = new Map([...inFile].filter(([module]) => config.adapts(module)));
    const passedOver = [...inFile.keys()].filter((module) => !stored.has(module));
    if (stored.size === 0) {
      const first = `such as ${passedOver[0]}`;
      throw new DataError(`${configPath}: means none of the modules that ${weightsFile} has, ${first}`);
    }
    const { lora } = config;
    const shapeOf = (name: string) => file.tensors.get(name)?.shape ?? [];
    for (const [module, { a, b, ...vectors }] of stored) {
      const rank = rankOf(lora, module);
      checkVectors(path, module, vectors, lora);
      checkRank(path, a, shapeOf(a), 0, rank);
      checkRank(path, b, shapeOf(b), 1, rank);
    }
    const sizes = arrange(path, stored, config, shapeOf);
    for (const [module, size] of sizes) {
      const { a, b, ...vectors } = stored.get(module) as Stored;
      const rank = rankOf(lora, module);
      checkShape(path, a, shapeOf(a), [rank, size.in]);
      checkShape(path, b, shapeOf(b), [size.out, rank]);
      for (const name of Object.values(vectors)) checkShape(path, name, shapeOf(name), [size.out]);
    }
    const load = (name: string) =>
      tensor(backend, toFloat32(file.tensors.get(name)?.dtype ?? 'F32', file.read(name)), shapeOf(name));
    const pairOf = (names: Stored): AdapterPair => {
      const tensors = Object.entries(names).map(([member, name]) => [member, load(name)] as const);
      return Object.fromEntries(tensors) as AdapterPair;
    };
    // The scope frees what was uploaded when the device cannot take the rest.
    const params = scope(
      () => new Map(sizes.map(([module]) => [module, pairOf(stored.get(module) as Stored)])),
    );
    const warnings = passedOver.slice(0, 1).map((first) => {
      const count = `${passedOver.length} of the ${inFile.size} modules in ${weightsFile}`;
      return `${configPath}: does not mean ${count}, such as ${first}: they are passed over, as in PEFT`;
    });
    const { baseModel } = config;
    return { params, whole: new Map(), config: lora, baseModel, warnings: [...config.warnings, ...warnings] };
  } finally {
    file.close();
  }
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

/**
 * The modules of an adapter's file, each with the names of its tensors. Throws DataError unless all pair up.
 */
function pairNames(file: SafetensorsFile): Map<string, Stored> {
  const fail = (what: string): never => {
    throw new DataError(`${file.path}: ${what}`);
  };
  const found = new Map<string, Partial<Record<Member, string>>>();
  for (const [name, { dtype }] of file.tensors) {
    const parsed = parsePeftName(name);
    if (!parsed) return fail(`tensor "${name}" is no tensor of an adapter on a linear layer`);
    if (!floats.includes(dtype)) fail(`tensor "${name}" must be ${floats.join(', ')}, it is ${dtype}`);
    const { path, member } = parsed;
    const names: Partial<Record<Member, string>> = found.get(path) ?? {};
    if (names[member]) fail(`"${names[member]}" and "${name}" are the same tensor`);
    names[member] = name;
    found.set(path, names);
  }
  if (found.size === 0) fail('has no tensors; is this an adapter of PEFT?');
  for (const [path, names] of found) {
    const missing = names.a ? 'B' : 'A';
    if (!names.a || !names.b)
      fail(`"${Object.values(names)[0]}" has no partner: there is no lora_${missing} for "${path}"`);
  }
  return found as Map<string, Stored>;
}

/** DoRA's magnitude, and B's bias, are there for all modules or for none, as the config says. */
function checkVectors(
  path: string,
  module: string,
  vectors: Omit<Stored, 'a' | 'b'>,
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
  { baseModel = null, whole = new Map() }: WriteAdapterOptions = {},
): Promise<void> {
  const text = formatAdapterConfig(config, [...params.keys()], baseModel);
  const values = [...flattenWeights({ params, whole })].map(async ([name, t]) => {
    const data = Float32Array.from(await t.data());
    return [peftName(name), { dtype: 'F32', shape: t.shape, data }] as const;
  });
  const tensors = new Map(await Promise.all(values));
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
