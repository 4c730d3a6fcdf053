import { ConfigError, nearestNames } from '@flex/base';
import { adaptedModules, isNamed, type Limits } from './adapted-modules.ts';
import { patternMatcher } from './adapter-names.ts';
import { embedding, head } from './adapters.ts';
import { boundedPattern, type Pattern } from './bounded-pattern.ts';
import type { LoraConfig } from './lora.ts';

/** Output and input size of a linear layer; its weight is stored [out, in]. */
export interface LinearSize {
  readonly out: number;
  readonly in: number;
}

/**
 * Linear layers by their module path in the checkpoint, such as `model.layers.0.mlp.gate_proj`, in model
 * order.
 */
export type Linears = ReadonlyMap<string, LinearSize>;

/**
 * Which layers get an adapter: `mlp`, `attention`, `all-linear` (without lm_head), a pattern of Python's
 * over whole paths (`.*\.(q|v)_proj`), or a list of module names (`q_proj`, or more of the path) and of globs
 * over whole paths (`model.layers.[0-3].mlp.*`).
 */
export type Targets = string | readonly string[];

/** The module names that stand behind the names of groups, for each kind of layer that a model may have. */
const targetGroups = {
  mlp: [
    ['gate_proj', 'up_proj', 'down_proj'],
    ['c_fc', 'c_proj'],
  ],
  attention: [['q_proj', 'k_proj', 'v_proj', 'o_proj']],
} as const;

/**
 * The layers that can have an adapter: the linear ones and, before them, the embedding, which is one of v
 * inputs and e outputs.
 */
export function adaptableLayers(linears: Linears): Linears {
  const table = linears.get(head);
  return table ? new Map([[embedding, { in: table.out, out: table.in }], ...linears]) : linears;
}

/**
 * The layers that `targets` names, in the model's order whatever the order of the names.
 *
 * Names match as in PEFT: the whole path, or its end after a dot. In globs `*` is any run of characters,
 * dots included, `?` is one, `[…]` one of a set. Throws ConfigError for a name that matches nothing, with
 * the nearest known names, for an empty list, for what PEFT would not take, and where nothing is left.
 */
export function resolveTargets(
  targets: Targets,
  linears: Linears,
  limits: Limits = {},
): Map<string, LinearSize> {
  const layers = adaptableLayers(linears);
  const paths = [...layers.keys()];
  const names = peftTargets(targets, paths);
  const unknown =
    typeof targets === 'string' ? undefined : targets.find((name) => !paths.some(matcher(name)));
  if (unknown !== undefined) throw new ConfigError(unknownTarget(unknown, paths));
  if (names.length === 0) throw new ConfigError('lora.targets: is empty; name at least one linear layer');
  const means = adaptedModules(names, limits, (key, what) => {
    throw new ConfigError(`lora.${key === 'target_modules' ? 'targets' : key}: ${what}`);
  });
  const chosen = new Map([...layers].filter(([path]) => means(path)));
  if (chosen.size === 0)
    throw new ConfigError(`lora.targets: ${JSON.stringify(targets)} leaves no linear layer`);
  return chosen;
}

/**
 * Throws ConfigError for a pattern of ranks or alphas that means none of the chosen layers, and for what is
 * excluded and means no layer of the model. PEFT passes over these: a misspelt one would do nothing.
 */
export function requireEffect(
  { rankPattern = {}, alphaPattern = {}, excludeModules = [] }: LoraConfig,
  chosen: readonly string[],
  linears: Linears,
): void {
  for (const [key, patterns] of Object.entries({ rank_pattern: rankPattern, alpha_pattern: alphaPattern })) {
    const idle = Object.keys(patterns).find((name) => {
      const pattern = readPattern(key, name);
      return !chosen.some((path) => pattern.test(path));
    });
    if (idle !== undefined) throw withoutEffect(key, idle, chosen);
  }
  const paths = [...adaptableLayers(linears).keys()];
  const isText = typeof excludeModules === 'string';
  for (const name of isText ? [excludeModules] : excludeModules) {
    const means = adaptedModules(isText ? name : [name], {}, (_, what) => {
      throw new ConfigError(`lora.exclude_modules: ${what}`);
    });
    if (!paths.some(means)) throw withoutEffect('exclude_modules', name, paths);
  }
}

function readPattern(key: string, name: string): Pattern {
  try {
    return patternMatcher(name);
  } catch (cause) {
    const what = (cause as Error).message;
    throw new ConfigError(`lora.${key}: "${name}" is not a pattern of module names: ${what}`, { cause });
  }
}

function withoutEffect(key: string, name: string, paths: readonly string[]): ConfigError {
  const nearest = nearestNames(name, [...new Set(paths.map(moduleName))], 3).join(', ');
  const layers =
    key === 'exclude_modules' ? 'no layer of the model' : 'none of the layers that get an adapter';
  return new ConfigError(`lora.${key}: "${name}" means ${layers}; the nearest are ${nearest}`);
}

/** A string that is a pattern of module paths: it has a character that no name of a module has. */
export const isPattern = (targets: string): boolean => /[^\w-]/.test(targets);

/**
 * The same targets as PEFT has them in `target_modules`, for a model, or an adapter, with the modules
 * `paths`.
 */
export function peftTargets(targets: Targets, paths: readonly string[]): string | readonly string[] {
  if (targets === 'all-linear')
    return [...new Set(paths.filter((path) => path !== head && path !== embedding).map(moduleName))];
  if (targets === 'mlp' || targets === 'attention') {
    const [usual, ...others] = targetGroups[targets];
    const has = (names: readonly string[]) => names.some((name) => paths.some((path) => isNamed(path, name)));
    return others.find(has) ?? usual;
  }
  if (typeof targets === 'string') {
    if (isPattern(targets)) return targets;
    throw new ConfigError(
      `lora.targets: "${targets}" is none of mlp, attention, all-linear, a pattern of whole paths and a list of names`,
    );
  }
  return targets.flatMap((name) => (isGlob(name) ? paths.filter(matcher(name)) : [name]));
}

/** True for a name that PEFT would not take as it stands. */
export function isGlob(name: string): boolean {
  return /[*?[]/.test(name);
}

/** Whether a module path is meant by a name or a glob. */
export function matcher(name: string): (path: string) => boolean {
  if (!isGlob(name)) return (path) => isNamed(path, name);
  const parts = name.match(/\*|\?|\[!?\]?[^\]]*\]|[^*?[]+|\[/g) ?? [];
  const pattern = parts.map((part) => {
    if (part === '*') return '.*';
    if (part === '?') return '.';
    if (part.length > 1 && part.startsWith('[')) return part.replace('[!', '[^').replaceAll('\\', '\\\\');
    return part.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  });
  const whole = boundedPattern(new RegExp(`^${pattern.join('')}$`));
  return (path) => whole.test(path);
}

function unknownTarget(name: string, paths: readonly string[]): string {
  const known = name.includes('.') && !isGlob(name) ? paths : [...new Set(paths.map(moduleName))];
  const candidates = isGlob(name) ? paths.slice(0, 3) : nearestNames(name, known, 3);
  return `lora.targets: "${name}" matches no linear layer of the model; the nearest are ${candidates.join(', ')}`;
}

/** The last part of a module path: `q_proj`. */
export function moduleName(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}
