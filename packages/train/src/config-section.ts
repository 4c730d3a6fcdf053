import { type KeyPath, respell } from '@flex/base';

/** A section of keys. */
export type Section = Readonly<Record<string, unknown>>;

/** Whether a value is a section of keys, rather than a list, a date or a single value. */
export function isSection(value: unknown): value is Section {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The sections within which a part, their format, has options too. */
const withFormat = new Set<unknown>(['data', 'eval']);

/**
 * A configuration with the names of its options as in TypeScript, made of one with their names as in files,
 * or the other way about: the keys of its sections and of its parts. What lies in an option is its own, such
 * as the names of modules that it may be keyed by.
 */
export function respellConfig(config: Section): Section {
  const respelt = (key: string, value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((entry) => respelt(key, entry));
    if (!isSection(value)) return value;
    const { format } = value;
    const isPart = withFormat.has(key) && isSection(format);
    return respellSection(isPart ? { ...value, format: respellSection(format) } : value);
  };
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, respelt(key, value)]));
}

/** The path of a value in the configuration that `respellConfig` makes. */
export function respellPath(path: KeyPath): KeyPath {
  const option = typeof path[1] === 'number' ? 2 : 1;
  const ofFormat = withFormat.has(path[0]) && path[option] === 'format' ? option + 1 : option;
  return path.map((key, i) =>
    typeof key === 'string' && (i === option || i === ofFormat) ? respell(key) : key,
  );
}

/** A section, or a part, with the names of its options as in TypeScript made of those in files, or back. */
export function respellSection(section: Section): Section {
  return Object.fromEntries(Object.entries(section).map(([key, value]) => [respell(key), value]));
}
