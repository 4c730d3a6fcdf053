import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  ConfigError,
  dotted,
  expandHome,
  firstProblem,
  hubName,
  type KeyPath,
  locate,
  mapPaths,
  type OptionProblem,
  resolveModule,
} from '@flex/base';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { readConfigFile } from './config-file.ts';
import { applyOverride, merge, type Override, parseOverride } from './config-override.ts';
import { continuedSchema, freshSchema, partSchemas } from './config-schema.ts';
import { isSection, respellConfig, respellPath, type Section } from './config-section.ts';
import { findPart, type PartSection, partSchema } from './parts.ts';
import { isContinued, overPreset } from './presets.ts';
import type { Recipe } from './recipe.ts';

type FreshConfig = z.output<ReturnType<typeof freshSchema>>;
type ContinuedConfig = z.output<ReturnType<typeof continuedSchema>>;

/**
 * A run's configuration, every key resolved.
 *
 * - `adapter: null` means a fresh adapter, and `lora` is whole. Otherwise training continues `adapter`, and
 *   `lora` holds only what the user gave, which must agree with that adapter.
 * - `regularizer`, `eval` and `callbacks` are lists; `regularizer: none` is the empty one.
 * - A part has its name or, in `use`, its module or value, and its options.
 * - `model` is the model's path; `quantize`, of the section that a file may have for it, is how its linear layers
 *   but the head are stored in place of `dtype`.
 * - `data.split: null` leaves the split to the data (see readCompletions).
 * - Paths are absolute. A name of the Hugging Face hub stands for a snapshot in its cache, which is the path
 *   here; `plainConfig` writes the name and the commit.
 */
export type TrainConfig = FreshConfig | ContinuedConfig;

export interface LoadOptions {
  /** A .yaml, .yml, .toml or .json file, or a recipe in TypeScript or JavaScript. */
  readonly file?: string;
  /** `key=value` texts, or what `parseOverride` makes of them, applied over the file in order. */
  readonly overrides?: readonly (string | Override)[];
  /** Values beneath the file's. */
  readonly defaults?: Partial<Recipe>;
}

/**
 * The configuration that the file, the overrides over it and the preset beneath it give, checked by a schema
 * that is put together from those of the parts it names.
 *
 * What a schema marks as a path (`pathTo`) and `use: ./module.ts`, or the name of a package, is looked up
 * from the folder of the file that says it, and from the override's own or the working directory where an
 * override or a default does (`locate`); it becomes absolute.
 *
 * Throws ConfigError, one line with `run.yaml:7` or the override in front, for an unknown key, a value of the
 * wrong type or out of range, a missing key, a module that is no part, and for what lies where the other of
 * the two folders would lead; else a path may lead to nothing.
 */
export async function loadConfig({ file, overrides = [], defaults = {} }: LoadOptions): Promise<TrainConfig> {
  const ofCommand = process.cwd();
  const source =
    file === undefined ? { value: {}, where: () => 'configuration' } : await readConfigFile(file);
  const applied = overrides.map((one) => (typeof one === 'string' ? parseOverride(one) : one));
  const written = applied.reduce(applyOverride, merge(respellConfig(defaults), source.value));

  /** The path as it is written, where a single section may stand for a list, and a model for its section. */
  const spell = (path: KeyPath): KeyPath => {
    const [section, index, ...rest] = respellPath(path);
    if (section === 'model' && index === 'path' && !isSection(source.value.model)) return [section];
    return typeof index === 'number' && isSection(written[section]) ? [section, ...rest] : respellPath(path);
  };
  const fail = ({ path, message }: OptionProblem, options?: ErrorOptions): never => {
    const key = spell(path);
    const override = applied.findLast((one) => isWithin(one.path, key) || isWithin(key, one.path));
    throw new ConfigError(`${override?.where ?? source.where(key)}: ${message}`, options);
  };

  const ofFile = file === undefined ? ofCommand : dirname(resolve(file));
  /** The folder that a value is relative to, and the other one that it might have been meant to be. */
  const foldersOf = (path: KeyPath): [folder: string, other: string] => {
    const key = spell(path);
    const override = applied.findLast((one) => isWithin(key, one.path));
    const isOfFile = isGiven(source.value, key) && !override;
    return isOfFile ? [ofFile, ofCommand] : [override?.folder ?? ofCommand, ofFile];
  };
  /** What a look-up gives; what it refuses is told with the place. */
  const found = <T>(path: KeyPath, lookUp: () => T): T => {
    try {
      return lookUp();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return fail({ path, message: `${dotted(spell(path))} ${error.message}` }, { cause: error });
    }
  };
  const values = withModules(overPreset(respellConfig(written)), (use, path) =>
    found(path, () => resolveModule(expandHome(use), foldersOf(path)[0])),
  );
  const parts = await partSchemas(values, async (kind, section, under) => {
    if (!isSection(section)) return partSchema(kind, null);
    try {
      return partSchema(kind, await findPart(kind, section), section.use);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const path = [...under, section.use === undefined ? 'name' : 'use'];
      return fail({ path, message: `${dotted(spell(path))} ${error.message}` });
    }
  });
  const schema = isContinued(values) ? continuedSchema(parts) : freshSchema(parts);
  const problem = firstProblem(schema, values, spell);
  if (problem) fail(problem);

  const located = mapPaths(schema, values, (text, kind, path) => {
    const [folder, other] = foldersOf(path);
    const [place, elsewhere] = [folder, other].map((from) => resolve(from, expandHome(text)));
    if (kind !== 'output' && !existsSync(place) && existsSync(elsewhere)) {
      const rule = folder === ofCommand ? 'what the command line says is' : 'what a file says is';
      const message = `there is no ${text} in ${folder}, to which ${rule} relative; write ${elsewhere}`;
      fail({ path, message: `${dotted(spell(path))}: ${message}` });
    }
    return found(path, () => locate(text, kind, folder));
  });
  const config = schema.parse(located);
  const path = notHeldOut(config);
  const rule = 'is data.source, all of which the preset paper trains on';
  if (path) fail({ path, message: `${dotted(spell(path))} ${rule}` });
  return config;
}

/**
 * The configuration with the keys and values of a file. A part that is a value goes by its name, and a
 * snapshot of the Hugging Face cache by that of its repository.
 */
export function plainConfig(config: TrainConfig): Section {
  const plain = ({ use, ...section }: PartSection): PartSection => {
    if (use === undefined) return section;
    return typeof use === 'string' ? { use, ...section } : { name: use.name, ...section };
  };
  const named = (path: string) => hubName(path) ?? path;
  const reading = <D extends { format: string | PartSection; source: string }>(data: D): D => {
    const { format, source } = data;
    return { ...data, source: named(source), format: isSection(format) ? plain(format) : format };
  };
  const { quantize, ...sections } = config;
  const { model, adapter, data, optimizer, schedule, regularizer, callbacks, eval: heldOut } = sections;
  const [first, ...others] = regularizer.map(plain);
  return respellConfig({
    ...sections,
    model: quantize === null ? named(model) : { path: named(model), quantize },
    adapter: adapter && named(adapter),
    data: reading(data),
    eval: heldOut.map(reading),
    optimizer: plain(optimizer),
    schedule: plain(schedule),
    regularizer: others.length > 0 ? [first, ...others] : (first ?? 'none'),
    callbacks: callbacks.map(plain),
  });
}

/**
 * The configuration as YAML. Loaded again, it gives the identical configuration, but for parts that are
 * values.
 */
export function printConfig(config: TrainConfig): string {
  return stringify(plainConfig(config), { lineWidth: 0 });
}

/** Whether a section says what the path leads to. */
function isGiven(section: Section, path: KeyPath): boolean {
  const step = (value: unknown, key: string | number): unknown =>
    isSection(value) || Array.isArray(value) ? (value as Section)[key] : undefined;
  return path.reduce<unknown>(step, section) !== undefined;
}

/** Whether the path is the outer one, or leads into what that names. */
function isWithin(path: KeyPath, outer: KeyPath): boolean {
  return outer.every((step, i) => String(step) === String(path[i]));
}

/** The values with `map(use, path)` in place of the module of every part that names one. */
export function withModules<T>(values: Section, map: (use: string, path: KeyPath) => T): Section {
  const mapped = (part: unknown, path: KeyPath): unknown =>
    isSection(part) && typeof part.use === 'string'
      ? { ...part, use: map(part.use, [...path, 'use']) }
      : part;
  const withFormat = (data: unknown, path: KeyPath): unknown =>
    isSection(data) ? { ...data, format: mapped(data.format, [...path, 'format']) } : data;
  const each = (list: unknown, key: string, one: typeof mapped): unknown =>
    Array.isArray(list) ? list.map((entry, i) => one(entry, [key, i])) : list;
  const { data, optimizer, schedule, regularizer, callbacks, eval: heldOut } = values;
  return {
    ...values,
    data: withFormat(data, ['data']),
    eval: each(heldOut, 'eval', withFormat),
    optimizer: mapped(optimizer, ['optimizer']),
    schedule: mapped(schedule, ['schedule']),
    regularizer: each(regularizer, 'regularizer', mapped),
    callbacks: each(callbacks, 'callbacks', mapped),
  };
}

/** The paper's protocol trains on all of MBPP, so that no part of the same file is held out. */
function notHeldOut({ preset, data, eval: heldOut }: TrainConfig): KeyPath | undefined {
  if (preset !== 'paper' || data.split !== 'all') return undefined;
  const index = heldOut.findIndex(({ source }) => resolve(source) === resolve(data.source));
  return index < 0 ? undefined : ['eval', index, 'source'];
}
