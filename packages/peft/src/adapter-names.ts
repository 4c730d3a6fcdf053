import { pythonPattern } from './python-pattern.ts';

/** The two matrices of a module's adapter: A f32 [r, in] and B f32 [out, r]. */
export type Side = 'A' | 'B';

const prefix = 'base_model.model.';

/** PEFT's name of a module's A or B: `base_model.model.<path>.lora_A.weight`. */
export function adapterName(path: string, side: Side): string {
  return `${prefix}${path}.lora_${side}.weight`;
}

/** The module and the side of a PEFT name, also of older files' (`.lora_A.default.weight`); else null. */
export function parseAdapterName(name: string): { path: string; side: Side } | null {
  const found = /^base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(name);
  return found && { path: found[1], side: found[2] as Side };
}

/** The module paths of an adapter, in the order of its tensors. */
export function adaptedPaths(names: Iterable<string>): string[] {
  return [...new Set([...names].flatMap((name) => parseAdapterName(name)?.path ?? []))];
}

/**
 * Whether PEFT would apply the pattern `key` of rank_pattern or alpha_pattern to a module path. Throws
 * ConfigError for a pattern of Python's that cannot be read.
 */
export function patternMatcher(key: string): RegExp {
  return pythonPattern(`(.*\\.)?(${key})$`, 'match');
}
