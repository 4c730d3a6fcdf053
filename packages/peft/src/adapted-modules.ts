import type { Pattern } from './bounded-pattern.ts';
import { pythonPattern } from './python-pattern.ts';
import { isNamed } from './targets.ts';

/** Which linear layers an adapter_config.json puts an adapter on. */
export interface AdaptedModules {
  /** Whether it adapts the layer of this path. */
  has(path: string): boolean;
  /** The names that mean the same; null where a pattern or numbers of layers decide. */
  readonly names: readonly string[] | null;
}

type Content = Readonly<Record<string, unknown>>;
/** Refuses a file, with a line that begins with the key. */
type Fail = (what: string) => never;

/** PEFT's `target_modules` for a Llama where the file has none. */
const llamaTargets = ['q_proj', 'v_proj'];

/**
 * What `target_modules`, `exclude_modules`, `layers_to_transform` and `layers_pattern` mean, as in PEFT 0.21:
 * names are whole paths, or ends of them after a dot; a text is a pattern over whole paths, or `all-linear`;
 * a whole path in `target_modules` counts whatever its layer. Calls `fail` for what PEFT would not take.
 */
export function adaptedModules(content: Content, fail: Fail): AdaptedModules {
  const targets = namesOrPattern(content, 'target_modules', fail) ?? llamaTargets;
  const excluded = namesOrPattern(content, 'exclude_modules', fail) ?? [];
  const layers = [content.layers_to_transform ?? []].flat();
  if (!layers.every(Number.isInteger))
    fail('"layers_to_transform" must be the number of a layer, or a list of them');
  const isTarget = matcher('target_modules', targets, fail);
  const isExcluded = matcher('exclude_modules', excluded, fail);
  const layerOf = layerReader(content, fail);
  if (typeof targets === 'string') {
    if (layers.length > 0)
      fail('"layers_to_transform" needs a list of names in "target_modules", which is a pattern');
    return { has: (path) => isTarget(path) && !isExcluded(path), names: null };
  }
  const isInLayers = (path: string) =>
    layers.length === 0 || targets.includes(path) || layers.includes(layerOf(path));
  return {
    has: (path) => isTarget(path) && !isExcluded(path) && isInLayers(path),
    names: excluded.length > 0 || layers.length > 0 ? null : targets,
  };
}

function namesOrPattern(content: Content, key: string, fail: Fail): string | readonly string[] | null {
  const value = content[key] ?? null;
  if (value === null || typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value;
  return fail(`"${key}" must be a list of names or a pattern, it is ${JSON.stringify(value)}`);
}

function matcher(key: string, names: string | readonly string[], fail: Fail): (path: string) => boolean {
  if (typeof names !== 'string') return (path) => names.some((name) => isNamed(path, name));
  if (key === 'target_modules' && names.toLowerCase() === 'all-linear') return (path) => path !== 'lm_head';
  const whole = compile(key, names, 'fullmatch', fail);
  return (path) => whole.test(path);
}

/** Reads the layer's number off a path: the one after what `layers_pattern` names, else the first. */
function layerReader(content: Content, fail: Fail): (path: string) => number {
  const lists = [namesOrPattern(content, 'layers_pattern', fail) ?? []].flat().filter((name) => name !== '');
  if (lists.length > 0 && content.layers_to_transform == null)
    fail('"layers_pattern" needs "layers_to_transform"');
  const before = lists.length > 0 ? lists.map((name) => `(?:^|.*?\\.)${name}`) : ['.*?\\.[^.]*'];
  const numbers = before.map((source) =>
    compile('layers_pattern', `${source}\\.(?P<idx>\\d+)\\.`, 'match', fail),
  );
  return (path) => {
    const found = numbers.map((number) => number.exec(path)).find((match) => match !== null);
    return Number(found?.groups?.idx);
  };
}

function compile(key: string, source: string, extent: 'match' | 'fullmatch', fail: Fail): Pattern {
  try {
    return pythonPattern(source, extent);
  } catch (cause) {
    return fail(`"${key}" is not a pattern of module names: ${(cause as Error).message}`);
  }
}
