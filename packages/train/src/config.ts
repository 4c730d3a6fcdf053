import { dirname, resolve } from 'node:path';
import { ConfigError } from '@flex/base';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { isSection, type KeyPath, readConfigFile, type Section } from './config-file.ts';
import { applyOverride, merge, parseOverride } from './config-override.ts';
import { dotted, firstProblem, type Problem } from './config-problem.ts';
import { continuedSchema, freshSchema } from './config-schema.ts';
import { presets } from './presets.ts';

type FreshConfig = z.output<ReturnType<typeof freshSchema>>;
type ContinuedConfig = z.output<ReturnType<typeof continuedSchema>>;

/**
 * A run's configuration, every key resolved.
 *
 * - `adapter: null` means a fresh adapter, and `lora` is whole. Otherwise training continues `adapter`, and
 *   `lora` holds only what the user gave, which must agree with that adapter.
 * - `regularizer` and `eval` are lists; `regularizer: none` is the empty one.
 * - `data.split: null` leaves the split to the data (see readCompletions).
 * - Relative paths are relative to the current working directory, but `use` is absolute.
 */
export type TrainConfig = FreshConfig | ContinuedConfig;

/** A penalty: `{name: 'fourier' | 'l2', …}`, or a module of the user's own, `{use, …its options}`. */
export type RegularizerConfig = TrainConfig['regularizer'][number];
/** An optimizer: `{name: 'adamw', …}`, or a module of the user's own, `{use, …its options}`. */
export type OptimizerConfig = TrainConfig['optimizer'];
export type LoraConfig = FreshConfig['lora'];
export type DataConfig = TrainConfig['data'];
export type EvalConfig = TrainConfig['eval'][number];
export type ScheduleConfig = TrainConfig['schedule'];

export interface LoadOptions {
  /** A .yaml, .yml, .toml or .json file. */
  readonly file?: string;
  /** `key=value` texts, applied over the file in order; see parseOverride. */
  readonly overrides?: readonly string[];
  /** Values beneath the file's. */
  readonly defaults?: Section;
}

/**
 * The configuration that the file, the overrides over it and the preset's defaults beneath it give.
 *
 * Relative paths (`model`, `adapter`, `data.source`, `eval.source`, `out`) stay as they are, relative to the
 * current working directory; a relative `use: ./module.ts` is relative to the configuration file's folder
 * (to the current one if there is no file) and is made absolute.
 *
 * Throws ConfigError, one line with `run.yaml:7` or the override in front, for an unknown key, a value of the
 * wrong type or out of range, and a missing key.
 */
export function loadConfig({ file, overrides = [], defaults = {} }: LoadOptions): TrainConfig {
  const source = file === undefined ? { value: {}, where: () => 'configuration' } : readConfigFile(file);
  const applied = overrides.map(parseOverride);
  const values = applied.reduce(applyOverride, merge(defaults, source.value));

  const fail = ({ path, message }: Problem): never => {
    const override = applied.findLast((one) => isWithin(one.path, path) || isWithin(path, one.path));
    throw new ConfigError(`${override?.where ?? source.where(path)}: ${message}`);
  };

  const preset = Object.entries(presets).find(([name]) => name === values.preset)?.[1] ?? presets.corrected;
  const schema = isGiven(values.adapter) ? continuedSchema(preset) : freshSchema(preset);
  const normal = normalize(values);
  const problem = firstProblem(schema, normal);
  if (problem) fail(asWritten(problem, values));

  const config = schema.parse(normal) as TrainConfig;
  const leak = notHeldOut(config);
  if (leak) fail(asWritten(leak, values));
  return withAbsoluteModules(config, dirname(resolve(file ?? 'run.yaml')));
}

/** The configuration as YAML. Loaded again, it gives the identical configuration. */
export function printConfig(config: TrainConfig): string {
  const [first, ...others] = config.regularizer;
  const regularizer = others.length > 0 ? config.regularizer : (first ?? 'none');
  return stringify({ ...config, regularizer }, { lineWidth: 0 });
}

/** Whether the path is the outer one, or leads into what that names. */
function isWithin(path: KeyPath, outer: KeyPath): boolean {
  return outer.every((step, i) => String(step) === String(path[i]));
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** The values with `regularizer` and `eval` as lists, parts named, and eval's `max_length` that of data. */
function normalize(values: Section): Section {
  const { regularizer = {}, optimizer = {}, eval: held = [], data } = values;
  const inherited = isSection(data) && isGiven(data.max_length) ? { max_length: data.max_length } : {};
  return {
    ...values,
    optimizer: named(optimizer, 'adamw'),
    regularizer: regularizer === 'none' ? [] : asList(regularizer, (part) => named(part, 'fourier')),
    eval: asList(held, (entry) => (isSection(entry) ? { ...inherited, ...entry } : entry)),
  };
}

function asList(value: unknown, each: (entry: unknown) => unknown): unknown {
  if (isSection(value)) return [each(value)];
  return Array.isArray(value) ? value.map(each) : value;
}

/** A part without a name is the default one. */
function named(part: unknown, name: string): unknown {
  return isSection(part) && !('name' in part) && !('use' in part) ? { name, ...part } : part;
}

/** The problem with its path as in the values, which may have a single section where a list is allowed. */
function asWritten({ path, message }: Problem, values: Section): Problem {
  const [key, place, ...rest] = path;
  if (typeof place !== 'number' || Array.isArray(values[key]) || !isSection(values[key]))
    return { path, message };
  const written: KeyPath = [key, ...rest];
  return { path: written, message: message.replaceAll(dotted([key, place]), String(key)) };
}

/** The paper's protocol trains on all of MBPP, so that no part of the same file is held out. */
function notHeldOut(config: TrainConfig): Problem | undefined {
  if (config.preset !== 'paper' || config.data.split !== 'all') return undefined;
  const place = config.eval.findIndex(({ source }) => resolve(source) === resolve(config.data.source));
  if (place < 0) return undefined;
  const path = ['eval', place, 'source'];
  return { path, message: `${dotted(path)} is data.source, all of which the preset paper trains on` };
}

function withAbsoluteModules(config: TrainConfig, folder: string): TrainConfig {
  const absolute = <P extends object>(part: P): P =>
    'use' in part && /^\.\.?\//.test(String(part.use))
      ? { ...part, use: resolve(folder, String(part.use)) }
      : part;
  return {
    ...config,
    optimizer: absolute(config.optimizer),
    regularizer: config.regularizer.map(absolute),
  };
}
