import type { Pattern } from './bounded-pattern.ts';
import { pythonPattern } from './python-pattern.ts';

/** The two matrices of a module's adapter in PEFT's names. */
export type Side = 'A' | 'B';

/**
 * PEFT's name of what `flattenAdapters` names: `base_model.model.<path>.lora_A.weight` of `<path>.a`, lora_B of
 * `<path>.b`; other names stay as they are.
 */
export function peftName(name: string): string {
  return name.replace(
    /^(.+)\.([ab])$/,
    (_, path: string, side: string) => `base_model.model.${path}.lora_${side.toUpperCase()}.weight`,
  );
}

/** The module and the side of a PEFT name, also of older files' (`.lora_A.default.weight`); else null. */
export function parsePeftName(name: string): { path: string; side: Side } | null {
  const found = /^base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(name);
  return found && { path: found[1], side: found[2] as Side };
}

/**
 * Whether PEFT would apply the pattern `key` of rank_pattern or alpha_pattern to a module path. Throws
 * ConfigError for a pattern of Python's that cannot be read.
 */
export function patternMatcher(key: string): Pattern {
  return pythonPattern(`(.*\\.)?(${key})$`, 'match');
}
