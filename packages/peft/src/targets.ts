import { ConfigError, nearestNames } from '@flex/base';
import { boundedPattern } from './bounded-pattern.ts';

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
 * Which linear layers get an adapter: those of the MLPs, of the attention, all but lm_head, or a list of
 * module names (`q_proj`, or more of the path) and of globs over whole paths (`model.layers.[0-3].mlp.*`).
 */
export type Targets = 'mlp' | 'attention' | 'all-linear' | readonly string[];

/** The module names that stand behind the names of groups. */
export const targetGroups = {
  mlp: ['gate_proj', 'up_proj', 'down_proj'],
  attention: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
} as const;

const head = 'lm_head';

/**
 * The linear layers that `targets` names, in the model's order whatever the order of the names.
 *
 * Names match as in PEFT: the whole path, or its end after a dot. In globs `*` is any run of characters,
 * dots included, `?` is one, `[…]` one of a set. Throws ConfigError for a name that matches nothing, with
 * the nearest known names, and for an empty list.
 */
export function resolveTargets(targets: Targets, linears: Linears): Map<string, LinearSize> {
  const names = namesOf(targets, linears);
  if (names.length === 0) throw new ConfigError('lora.targets: is empty; name at least one linear layer');
  const chosen = new Set<string>();
  for (const name of names) {
    const found = [...linears.keys()].filter(matcher(name));
    if (found.length === 0) throw new ConfigError(unknownTarget(name, linears));
    for (const path of found) chosen.add(path);
  }
  return new Map([...linears].filter(([path]) => chosen.has(path)));
}

function namesOf(targets: Targets, linears: Linears): readonly string[] {
  if (targets === 'all-linear') return [...linears.keys()].filter((path) => path !== head);
  if (typeof targets !== 'string') return targets;
  if (Object.hasOwn(targetGroups, targets)) return targetGroups[targets];
  throw new ConfigError(
    `lora.targets: "${targets}" is none of mlp, attention, all-linear and a list of names`,
  );
}

/** True for a name that PEFT would not take as it stands. */
export function isGlob(name: string): boolean {
  return /[*?[]/.test(name);
}

/** Whether a module path is meant by a name, as in PEFT: the whole path, or its end after a dot. */
export function isNamed(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`);
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

function unknownTarget(name: string, linears: Linears): string {
  const paths = [...linears.keys()];
  const known = name.includes('.') && !isGlob(name) ? paths : [...new Set(paths.map(moduleName))];
  const candidates = isGlob(name) ? paths.slice(0, 3) : nearestNames(name, known, 3);
  return `lora.targets: "${name}" matches no linear layer of the model; the nearest are ${candidates.join(', ')}`;
}

/** The last part of a module path: `q_proj`. */
export function moduleName(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}
