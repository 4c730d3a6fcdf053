import { ConfigError, type KeyPath, show } from '@flex/base';
import { parseYamlValue } from './config-file.ts';
import { isSection, type Section } from './config-section.ts';

/** One `key=value` of the command line. */
export interface Override {
  /** How messages name it: `override "optimizer.lr=1"`. */
  readonly where: string;
  readonly path: KeyPath;
  readonly value: unknown;
  /** What paths in the value are relative to; else the working directory. */
  readonly folder?: string;
}

/**
 * The override that `a.b.c=value` means, the value written as in YAML: `train.seed=3`, `data.split=null`,
 * `eval=[{source: x, split: 511-600}]`. A number names a place in a list, from 0: `eval.1.split=all`.
 * Throws ConfigError for a text of another form.
 */
export function parseOverride(text: string): Override {
  const where = `override ${JSON.stringify(text)}`;
  const match = /^([\w-]+(?:\.[\w-]+)*)=(.*)$/s.exec(text);
  if (!match) throw new ConfigError(`${where}: must be key=value, such as train.seed=3`);
  return { where, path: match[1].split('.'), value: parseYamlValue(match[2], where) };
}

/** The values with the override applied; what it changes is copied. Throws ConfigError where it cannot be. */
export function applyOverride(values: Section, override: Override): Section {
  const { path } = override;
  // A model by itself stands for a section with its path.
  const isOfModel = path[0] === 'model' && path.length > 1 && typeof values.model === 'string';
  return set(isOfModel ? { ...values, model: { path: values.model } } : values, 0, override) as Section;
}

function set(values: unknown, depth: number, override: Override): unknown {
  const { path, value, where } = override;
  if (depth === path.length) return value;
  const key = path[depth];
  if (values === undefined || values === null) return { [key]: set(undefined, depth + 1, override) };
  if (isSection(values)) {
    const inner = Object.hasOwn(values, key) ? values[key] : undefined;
    return { ...values, [key]: set(inner, depth + 1, override) };
  }
  const name = path.slice(0, depth).join('.');
  if (!Array.isArray(values))
    throw new ConfigError(`${where}: ${name} is ${show(values)}, not a section of keys`);
  const place = Number(key);
  if (!(place in values)) {
    throw new ConfigError(`${where}: ${name} is a list of ${values.length}; write ${name}.0 for its first`);
  }
  return values.with(place, set(values[place], depth + 1, override));
}

/** Both sections in one: the upper's values win, section by section, and a part of another name replaces. */
export function merge(lower: Section, upper: Section): Section {
  if ('use' in upper || ('name' in upper && upper.name !== lower.name)) return upper;
  const merged = Object.entries(upper).map(([key, value]) => {
    const below = Object.hasOwn(lower, key) ? lower[key] : undefined;
    return [key, isSection(below) && isSection(value) ? merge(below, value) : value] as const;
  });
  return { ...lower, ...Object.fromEntries(merged) };
}
