import { type AdapterPair, embedding, rowsName, wholePrefix } from './adapters.ts';
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

/** The same on the embedding. */
const embeddingSuffixes: Readonly<Record<string, string>> = {
  a: 'lora_embedding_A',
  b: 'lora_embedding_B',
};

const tokenRows = 'token_adapter.trainable_tokens_delta';

/**
 * PEFT's name of what `flattenWeights` names: `base_model.model.<path>.lora_A.weight` of `<path>.a`, lora_B
 * of `<path>.b`, lora_embedding_A and -B of the embedding's, `base_model.model.<path>.weight` of
 * `whole:<path>.weight`, `….token_adapter.trainable_tokens_delta` of `whole:<path>.tokens`; of
 * `whole:<path>.bias` `….base_layer.bias` where the layer is adapted, else `….bias`. Other names stay as they
 * are.
 */
export function peftName(name: string, isAdapted: (path: string) => boolean = () => false): string {
  const end = name.lastIndexOf('.');
  const [path, member] = [name.slice(0, end), name.slice(end + 1)];
  if (name.startsWith(wholePrefix)) {
    const module = path.slice(wholePrefix.length);
    const isBelow = member === 'bias' && isAdapted(module);
    const suffix = isBelow ? 'base_layer.bias' : member === 'tokens' ? tokenRows : member;
    return `${prefix}${module}.${suffix}`;
  }
  const suffix = path === embedding ? embeddingSuffixes[member] : suffixes[member as Member];
  return suffix === undefined ? name : `${prefix}${path}.${suffix}`;
}

/** The module and the member of a PEFT name, also of older files' (`.lora_A.default.weight`); else null. */
export function parsePeftName(name: string): { path: string; member: Member } | null {
  const plain = name.replace(
    /(\.lora_(?:A|B|embedding_A|embedding_B|magnitude_vector))\.default(?=\.|$)/,
    '$1',
  );
  const found = [...Object.entries(suffixes), ...Object.entries(embeddingSuffixes)].find(([, suffix]) =>
    plain.endsWith(`.${suffix}`),
  );
  if (!found || !plain.startsWith(prefix)) return null;
  const [member, suffix] = found;
  const path = plain.slice(prefix.length, -suffix.length - 1);
  return path === '' ? null : { path, member: member as Member };
}

/**
 * The flat name, behind `whole:`, of a PEFT name of a weight that is trained whole, or of rows of tokens;
 * else null.
 */
export function parseWholeName(name: string): string | null {
  const found =
    /^base_model\.model\.(.+?)\.(weight|(?:base_layer\.)?bias|token_adapter\.trainable_tokens_delta)$/.exec(
      name,
    );
  if (!found) return null;
  const [, path, member] = found;
  if (member === 'weight') return `${path}.weight`;
  return member.endsWith('bias') ? `${path}.bias` : rowsName(path);
}

/**
 * Whether PEFT has it under another name too, or does not use it: what it saves of modules that are trained
 * whole where it saves all biases.
 */
export const isCopy = (name: string): boolean => /\.(modules_to_save|original_module)\.bias$/.test(name);

/** The module of a PEFT name of a base model's own weight below an adapter; else null. */
export const parseBaseName = (name: string): string | null =>
  /^base_model\.model\.(.+)\.base_layer\.weight$/.exec(name)?.[1] ?? null;

/**
 * Whether PEFT would apply the pattern `key` of rank_pattern or alpha_pattern to a module path. Throws
 * ConfigError for a pattern of Python's that cannot be read.
 */
export function patternMatcher(key: string): Pattern {
  return pythonPattern(`(.*\\.)?(${key})$`, 'match');
}
