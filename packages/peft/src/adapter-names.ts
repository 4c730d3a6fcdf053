import { type AdapterPair, wholePrefix } from './adapters.ts';
import type { Pattern } from './bounded-pattern.ts';
import { pythonPattern } from './python-pattern.ts';

/** What a pair of adapters has, each a tensor. */
export type Member = keyof AdapterPair;

const prefix = 'base_model.model.';

/** How PEFT names a pair's tensors, behind the module's path. */
const suffixes: Readonly<Record<Member, string>> = {
  a: 'lora_A.weight',
  b: 'lora_B.weight',
  magnitude: 'lora_magnitude_vector',
  bias: 'lora_B.bias',
};

/**
 * PEFT's name of what `flattenWeights` names: `base_model.model.<path>.lora_A.weight` of `<path>.a`, lora_B of
 * `<path>.b`, `base_model.model.<name>` of `whole:<name>`; other names stay as they are.
 */
export function peftName(name: string): string {
  const end = name.lastIndexOf('.');
  const suffix = Object.entries(suffixes).find(([member]) => member === name.slice(end + 1))?.[1];
  if (name.startsWith(wholePrefix)) return `${prefix}${name.slice(wholePrefix.length)}`;
  return suffix === undefined ? name : `${prefix}${name.slice(0, end)}.${suffix}`;
}

/** The module and the member of a PEFT name, also of older files' (`.lora_A.default.weight`); else null. */
export function parsePeftName(name: string): { path: string; member: Member } | null {
  const plain = name.replace(/(\.lora_(?:A|B|magnitude_vector))\.default(?=\.|$)/, '$1');
  const found = Object.entries(suffixes).find(([, suffix]) => plain.endsWith(`.${suffix}`));
  if (!found || !plain.startsWith(prefix)) return null;
  const [member, suffix] = found;
  const path = plain.slice(prefix.length, -suffix.length - 1);
  return path === '' ? null : { path, member: member as Member };
}

/**
 * Whether PEFT would apply the pattern `key` of rank_pattern or alpha_pattern to a module path. Throws
 * ConfigError for a pattern of Python's that cannot be read.
 */
export function patternMatcher(key: string): Pattern {
  return pythonPattern(`(.*\\.)?(${key})$`, 'match');
}
