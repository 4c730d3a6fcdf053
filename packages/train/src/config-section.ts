import { type KeyPath, respell } from '@flex/base';

/** A section of keys. */
export type Section = Readonly<Record<string, unknown>>;

/** Whether a value is a section of keys, rather than a list, a date or a single value. */
export function isSection(value: unknown): value is Section {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * A configuration with the names of its options as in TypeScript, made of one with their names as in files, or the
 * other way about: the keys of its sections and of parts within them. What lies in an option is its own, as are the
 * names of modules that a part's option may be keyed by.
 */
export function respellConfig(config: Section): Section {
  const respelt = (value: unknown) => (isSection(value) ? respellSection(value) : value);
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      Array.isArray(value) ? value.map(respelt) : respelt(value),
    ]),
  );
}

/** The path of a value in the configuration that `respellConfig` makes. */
export function respellPath(path: KeyPath): KeyPath {
  const section = typeof path[1] === 'number' ? 2 : 1;
  return path.map((key, i) => {
    const isOption = i === section || (i === section + 1 && path[section] === 'format');
    return isOption && typeof key === 'string' ? respell(key) : key;
  });
}

/** The names of a section's options, or of a part's, as in files made as in TypeScript, or the other way about. */
export function respellSection(section: Section): Section {
  return Object.fromEntries(
    Object.entries(section).map(([key, value]) => [
      respell(key),
      key === 'format' && isSection(value) ? respellSection(value) : value,
    ]),
  );
}
