import { embedding, head } from './adapters.ts';
import type { Pattern } from './bounded-pattern.ts';
import { pythonPattern } from './python-pattern.ts';

/** What leaves some of the targets out, as PEFT has it. */
export interface Limits {
  /** Names, or a pattern over whole paths, of modules that get no adapter. */
  readonly excludeModules?: string | readonly string[];
  /** Numbers of the layers that targets named by the end of their path must be in. */
  readonly layersToTransform?: number | readonly number[];
  /** What stands before a layer's number in a path, such as `layers`; left out: anything. */
  readonly layersPattern?: string | readonly string[];
}

/** Refuses a value, by PEFT's name of its key. */
export type Fail = (key: string, what: string) => never;

/**
 * Whether PEFT 0.21 would put an adapter on the layer of a path: names are whole paths, or ends of them
 * after a dot; a text is a pattern over whole paths, or `all-linear`; a whole path in `targets` counts
 * whatever its layer. Calls `fail` for what PEFT would not take.
 */
export function adaptedModules(
  targets: string | readonly string[],
  limits: Limits,
  fail: Fail,
): (path: string) => boolean {
  const { excludeModules = [], layersToTransform = [] } = limits;
  const layers = [layersToTransform].flat();
  const isTarget = matcher('target_modules', targets, fail);
  const isExcluded = matcher('exclude_modules', excludeModules, fail);
  const layerOf = layerReader(limits, fail);
  if (typeof targets === 'string') {
    if (layers.length > 0)
      fail('layers_to_transform', 'needs a list of names in "target_modules", which is a pattern');
    return (path) => isTarget(path) && !isExcluded(path);
  }
  const isInLayers = (path: string) =>
    layers.length === 0 || targets.includes(path) || layers.includes(layerOf(path));
  return (path) => isTarget(path) && !isExcluded(path) && isInLayers(path);
}

/** Whether a module path is meant by a name, as in PEFT: the whole path, or its end after a dot. */
export function isNamed(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`);
}

function matcher(key: string, names: string | readonly string[], fail: Fail): (path: string) => boolean {
  if (typeof names !== 'string') return (path) => names.some((name) => isNamed(path, name));
  if (key === 'target_modules' && names.toLowerCase() === 'all-linear')
    return (path) => path !== head && path !== embedding;
  const whole = compile(key, names, 'fullmatch', fail);
  return (path) => whole.test(path);
}

/** Reads the layer's number off a path: the one after what `layersPattern` names, else the first. */
function layerReader(
  { layersPattern = [], layersToTransform }: Limits,
  fail: Fail,
): (path: string) => number {
  const lists = [layersPattern].flat().filter((name) => name !== '');
  if (lists.length > 0 && layersToTransform === undefined)
    fail('layers_pattern', 'needs "layers_to_transform"');
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
    return fail(key, `is not a pattern of module names: ${(cause as Error).message}`);
  }
}
