/**
 * The values in a JSON value that hold no others, by key path from `path`, such as `limits.wallSeconds` or
 * `k[1]`; an empty array or object is such a value.
 */
export function leaves(value: unknown, path: string): Map<string, unknown> {
  if (typeof value !== 'object' || value === null) return new Map([[path, value]]);
  const entries = Object.entries(value);
  if (entries.length === 0) return new Map(path === '' ? [] : [[path, value]]);
  const step = (key: string) => {
    if (Array.isArray(value)) return `${path}[${key}]`;
    const name = /^[\w@-]+$/.test(key) ? key : JSON.stringify(key);
    return path === '' ? name : `${path}.${name}`;
  };
  return new Map(entries.flatMap(([key, item]) => [...leaves(item, step(key))]));
}
