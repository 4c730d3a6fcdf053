import { ConfigError } from './errors.ts';

/**
 * JSON without spaces, the keys of every object in order of their UTF-16 code units: equal texts for equal
 * values. `path` is where the value lies, for messages. Throws ConfigError for what JSON cannot say: undefined,
 * a number that is not finite, a function, an object with a prototype of its own.
 */
export function canonicalJson(value: unknown, path: string): string {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) {
    return `[${Array.from(value, (item, i) => canonicalJson(item, `${path}.${i}`)).join()}]`;
  }
  if (typeof value === 'object' && isPlain(value)) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    const members = entries.map(
      ([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item, `${path}.${key}`)}`,
    );
    return `{${members.join()}}`;
  }
  throw new ConfigError(`${path}: needs a JSON value, got ${kindOf(value)}`);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function kindOf(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  return typeof value === 'object' ? `a ${value?.constructor?.name ?? 'object'}` : `a ${typeof value}`;
}
