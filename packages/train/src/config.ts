import { dirname, resolve } from 'node:path';
import { ConfigError, dotted, firstProblem, type KeyPath, type OptionProblem } from '@flex/base';
import { stringify } from 'yaml';
import { z } from 'zod';
import { readConfigFile } from './config-file.ts';
import { applyOverride, merge, parseOverride } from './config-override.ts';
import {
  continuedSchema,
  type FormatSchema,
  freshSchema,
  heldOutSchema,
  type PartSchemas,
} from './config-schema.ts';
import { isSection, respellConfig, respellPath, type Section } from './config-section.ts';
import { findPart, type PartKind, type PartSection, partKinds, partSchema } from './parts.ts';
import { type Preset, presets } from './presets.ts';
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
 * The configuration that the file, the overrides over it and the preset beneath it give, checked by a schema that
 * is put together from those of the parts it names.
 *
 * Relative paths (`model`, `adapter`, `data.source`, `eval.source`, `out`) stay as they are, relative to the
 * current working directory; a relative `use: ./module.ts` is relative to the configuration file's folder
 * (to the current one if there is no file) and is made absolute.
 *
 * Throws ConfigError, one line with `run.yaml:7` or the override in front, for an unknown key, a value of the
 * wrong type or out of range, a missing key, and a module that is no part.
 */
export async function loadConfig({ file, overrides = [], defaults = {} }: LoadOptions): Promise<TrainConfig> {
  const source =
    file === undefined ? { value: {}, where: () => 'configuration' } : await readConfigFile(file);
  const applied = overrides.map(parseOverride);
  const written = applied.reduce(applyOverride, merge(respellConfig(defaults), source.value));

  /** The path as it is written, where a single section may stand for a list. */
  const spell = (path: KeyPath): KeyPath => {
    const [section, place, ...rest] = respellPath(path);
    return typeof place === 'number' && isSection(written[section]) ? [section, ...rest] : respellPath(path);
  };
  const fail = ({ path: place, message }: OptionProblem): never => {
    const path = spell(place);
    const override = applied.findLast((one) => isWithin(one.path, path) || isWithin(path, one.path));
    throw new ConfigError(`${override?.where ?? source.where(path)}: ${message}`);
  };

  const values = withPreset(respellConfig(written), dirname(resolve(file ?? 'run.yaml')));
  const schemaOf: SchemaOf = async (kind, section, place) => {
    if (!isSection(section)) return partSchema(kind, null);
    try {
      return partSchema(kind, await findPart(kind, section), section.use);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const path = [...place, section.use === undefined ? 'name' : 'use'];
      return fail({ path, message: `${dotted(spell(path))} ${error.message}` });
    }
  };
  const parts = await partSchemas(values, schemaOf);
  const schema = isGiven(values.adapter) ? continuedSchema(parts) : freshSchema(parts);
  const problem = firstProblem(schema, values, spell);
  if (problem) fail(problem);

  const config = schema.parse(values);
  const leak = notHeldOut(config);
  if (leak)
    fail({
      path: leak,
      message: `${dotted(spell(leak))} is data.source, all of which the preset paper trains on`,
    });
  return config;
}

/** Gives the schema of the part that stands in a place. */
type SchemaOf = (kind: PartKind, section: unknown, place: KeyPath) => Promise<z.ZodType>;

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

/** The configuration as YAML. Loaded again, it gives the identical configuration, but for parts that are values. */
export function printConfig(config: TrainConfig): string {
  return stringify(plainConfig(config), { lineWidth: 0 });
}

/** Whether the path is the outer one, or leads into what that names. */
function isWithin(path: KeyPath, outer: KeyPath): boolean {
  return outer.every((step, i) => String(step) === String(path[i]));
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** The values over those of their preset: lists as lists, each part with its name, `use` as an absolute path. */
function withPreset(values: Section, folder: string): Section {
  const preset: Preset = Object.entries(presets).find(([name]) => name === values.preset)?.[1] ?? {};
  const over = (lower: object, value: unknown): unknown =>
    isSection(value) ? withAbsolutePath(merge(lower as Section, value), folder) : value;
  const list = (value: unknown, lower: object): unknown =>
    isSection(value)
      ? [over(lower, value)]
      : Array.isArray(value)
        ? value.map((entry) => over(lower, entry))
        : value;
  const {
    data,
    lora = {},
    optimizer = {},
    schedule = {},
    regularizer = {},
    callbacks = [],
    eval: held = [],
  } = values;
  const inherited = isSection(data) && isGiven(data.maxLength) ? { maxLength: data.maxLength } : {};
  return {
    ...values,
    ...(data !== undefined || preset.data ? { data: over(preset.data ?? {}, data ?? {}) } : {}),
    lora: over(isGiven(values.adapter) ? {} : (preset.lora ?? {}), lora),
    optimizer: over({ name: 'adamw' }, optimizer),
    schedule: over({ name: 'cosine' }, schedule),
    regularizer: regularizer === 'none' ? [] : list(regularizer, { name: 'fourier', ...preset.regularizer }),
    callbacks: list(callbacks, {}),
    eval: list(held, inherited),
  };
}

/** A part, or a section with a format that is one, whose module is named by an absolute path. */
function withAbsolutePath(section: Section, folder: string): Section {
  const { use, format } = section;
  if (isSection(format)) return { ...section, format: withAbsolutePath(format, folder) };
  return /^\.\.?\//.test(String(use)) ? { ...section, use: resolve(folder, String(use)) } : section;
}

/** The schemas of the parts that the values name, each in its place. */
async function partSchemas(values: Section, schemaOf: SchemaOf): Promise<PartSchemas> {
  const listOf = async (
    list: unknown,
    each: (entry: unknown, place: number) => z.ZodType | Promise<z.ZodType>,
    need: string,
  ) => {
    const entries = Array.isArray(list)
      ? z.tuple((await Promise.all(list.map(each))) as [])
      : z.array(z.any());
    return entries.describe(need);
  };
  const formatOf = (section: unknown, place: KeyPath) => {
    const format = isSection(section) ? section.format : undefined;
    if (isSection(format)) return schemaOf('format', format, [...place, 'format']);
    return z.enum(['auto', ...partKinds.format.parts.map(({ name }) => name)]).default('auto');
  };
  const { data, optimizer, schedule, regularizer, callbacks, eval: heldOut } = values;
  const schemas = {
    format: await formatOf(data, ['data']),
    optimizer: await schemaOf('optimizer', optimizer, ['optimizer']),
    schedule: await schemaOf('schedule', schedule, ['schedule']),
    regularizer: await listOf(
      regularizer,
      (part, i) => schemaOf('regularizer', part, ['regularizer', i]),
      'none, a section such as {name: fourier}, or a list of such sections',
    ),
    callbacks: await listOf(
      callbacks,
      (part, i) => schemaOf('callback', part, ['callbacks', i]),
      'a section such as {use: ./module.ts}, or a list of such sections',
    ),
    eval: await listOf(
      heldOut,
      async (entry, i) => heldOutSchema((await formatOf(entry, ['eval', i])) as unknown as FormatSchema),
      'a section such as {source: mbpp.jsonl, split: 511-600}, or a list of such',
    ),
  };
  return schemas as unknown as PartSchemas;
}

/** The paper's protocol trains on all of MBPP, so that no part of the same file is held out. */
function notHeldOut({ preset, data, eval: heldOut }: TrainConfig): KeyPath | undefined {
  if (preset !== 'paper' || data.split !== 'all') return undefined;
  const place = heldOut.findIndex(({ source }) => resolve(source) === resolve(data.source));
  return place < 0 ? undefined : ['eval', place, 'source'];
}
