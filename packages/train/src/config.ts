import { dirname, resolve } from 'node:path';
import {
  ConfigError,
  dotted,
  firstProblem,
  type KeyPath,
  type OptionProblem,
  resolveModule,
} from '@flex/base';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { readConfigFile } from './config-file.ts';
import { applyOverride, merge, parseOverride } from './config-override.ts';
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
 * - `data.split: null` leaves the split to the data (see readCompletions).
 * - Relative paths are relative to the current working directory, but `use` is absolute.
 */
export type TrainConfig = FreshConfig | ContinuedConfig;

export interface LoadOptions {
  /** A .yaml, .yml, .toml or .json file, or a recipe in TypeScript or JavaScript. */
  readonly file?: string;
  /** `key=value` texts, applied over the file in order; see parseOverride. */
  readonly overrides?: readonly string[];
  /** Values beneath the file's. */
  readonly defaults?: Partial<Recipe>;
}

/**
 * The configuration that the file, the overrides over it and the preset beneath it give, checked by a schema
 * that is put together from those of the parts it names.
 *
 * Relative paths (`model`, `adapter`, `data.source`, `eval.source`, `out`) stay as they are, relative to the
 * current working directory; `use: ./module.ts`, or the name of a package, is looked up from the configuration
 * file's folder (from the current one if there is no file) and becomes the module's absolute path.
 *
 * Throws ConfigError, one line with `run.yaml:7` or the override in front, for an unknown key, a value of
 * the wrong type or out of range, a missing key, and a module that is no part.
 */
export async function loadConfig({ file, overrides = [], defaults = {} }: LoadOptions): Promise<TrainConfig> {
  const source =
    file === undefined ? { value: {}, where: () => 'configuration' } : await readConfigFile(file);
  const applied = overrides.map(parseOverride);
  const written = applied.reduce(applyOverride, merge(respellConfig(defaults), source.value));

  /** The path as it is written, where a single section may stand for a list. */
  const spell = (path: KeyPath): KeyPath => {
    const [section, index, ...rest] = respellPath(path);
    return typeof index === 'number' && isSection(written[section]) ? [section, ...rest] : respellPath(path);
  };
  const fail = ({ path, message }: OptionProblem): never => {
    const key = spell(path);
    const override = applied.findLast((one) => isWithin(one.path, key) || isWithin(key, one.path));
    throw new ConfigError(`${override?.where ?? source.where(key)}: ${message}`);
  };

  const folder = dirname(resolve(file ?? 'run.yaml'));
  const resolved = (use: string, path: KeyPath): string => {
    try {
      return resolveModule(use, folder);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return fail({ path, message: `${dotted(spell(path))} ${error.message}` });
    }
  };
  const values = withModules(overPreset(respellConfig(written)), resolved);
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

  const config = schema.parse(values);
  const path = notHeldOut(config);
  const rule = 'is data.source, all of which the preset paper trains on';
  if (path) fail({ path, message: `${dotted(spell(path))} ${rule}` });
  return config;
}

/** The configuration with the keys and values of a file. A part that is a value goes by its name. */
export function plainConfig(config: TrainConfig): Section {
  const plain = ({ use, ...section }: PartSection): PartSection => {
    if (use === undefined) return section;
    return typeof use === 'string' ? { use, ...section } : { name: use.name, ...section };
  };
  const reading = <D extends { format: string | PartSection }>(data: D): D =>
    isSection(data.format) ? { ...data, format: plain(data.format) } : data;
  const { data, optimizer, schedule, regularizer, callbacks, eval: heldOut } = config;
  const [first, ...others] = regularizer.map(plain);
  return respellConfig({
    ...config,
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
