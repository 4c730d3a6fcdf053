import { DataError } from '@flex/base';
import type { SafetensorsFile } from '@flex/tensor/safetensors';
import { isCopy, type Member, parseBaseName, parsePeftName, parseWholeName } from './adapter-names.ts';

const floats: readonly string[] = ['F32', 'F16', 'BF16', 'F64'];

/** Names in the file of a module's tensors. */
export type StoredPair = Readonly<Record<'a' | 'b', string> & Partial<Record<Member, string>>>;

/** What an adapter's file has, by the names of its tensors there. */
export interface StoredNames {
  readonly pairs: ReadonlyMap<string, StoredPair>;
  /** What is trained whole, by its name in `whole`. */
  readonly whole: ReadonlyMap<string, string>;
  /**
   * The base model's own weights, by the checkpoint's names: PEFT saves those of tables that have an
   * adapter.
   */
  readonly base: ReadonlyMap<string, string>;
}

/**
 * The names of an adapter's tensors. Throws DataError unless each is one that PEFT gives, and pairs are
 * whole.
 */
export function storedNames(file: SafetensorsFile): StoredNames {
  const fail = (what: string): never => {
    throw new DataError(`${file.path}: ${what}`);
  };
  const pairs = new Map<string, Partial<Record<Member, string>>>();
  const whole = new Map<string, string>();
  const base = new Map<string, string>();
  for (const [name, { dtype }] of file.tensors) {
    if (isCopy(name)) continue;
    if (!floats.includes(dtype)) fail(`tensor "${name}" must be ${floats.join(', ')}, it is ${dtype}`);
    const [parsed, baseModule, wholeName] = [parsePeftName(name), parseBaseName(name), parseWholeName(name)];
    if (parsed) {
      const { path, member } = parsed;
      const names: Partial<Record<Member, string>> = pairs.get(path) ?? {};
      if (names[member]) fail(`"${names[member]}" and "${name}" are the same tensor`);
      names[member] = name;
      pairs.set(path, names);
    } else if (baseModule !== null) base.set(`${baseModule}.weight`, name);
    else if (wholeName !== null) whole.set(wholeName, name);
    else fail(`tensor "${name}" is no tensor of an adapter`);
  }
  if (pairs.size === 0) fail('has no tensors of LoRA; is this an adapter of PEFT?');
  for (const [path, names] of pairs) {
    const missing = names.a ? 'B' : 'A';
    if (!names.a || !names.b)
      fail(`"${Object.values(names)[0]}" has no partner: there is no lora_${missing} for "${path}"`);
  }
  return { pairs: pairs as Map<string, StoredPair>, whole, base };
}
