import { treeLeaves } from '@flex/autograd';
import { ConfigError } from '@flex/base';
import { openReference, tensor } from '@flex/tensor';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isCopy, parseBaseName, parsePeftName, parseWholeName, peftName } from './adapter-names.ts';
import {
  type AdapterPair,
  flattenAdapters,
  flattenWeights,
  unflattenAdapters,
  unflattenWeights,
} from './adapters.ts';

const backend = openReference();
const one = () => tensor(backend, [1], [1, 1]);

/** Module paths, also such as end like the names of tensors. */
const paths = fc.uniqueArray(
  fc
    .array(fc.constantFrom('model', 'layers', '0', '12', 'a', 'b', 'up_proj'), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.join('.')),
  { maxLength: 6 },
);

it('adapters come back from their flat names, the same tensors in the same order', () => {
  fc.assert(
    fc.property(paths, (modules) => {
      const adapters = new Map(modules.map((path): [string, AdapterPair] => [path, { a: one(), b: one() }]));
      const tensors = flattenAdapters(adapters);
      expect([...tensors.keys()]).toEqual(modules.flatMap((path) => [`${path}.a`, `${path}.b`]));
      const back = unflattenAdapters(tensors);
      expect([...back.keys()]).toEqual(modules);
      for (const [path, { a, b }] of adapters) {
        expect(back.get(path)?.a).toBe(a);
        expect(back.get(path)?.b).toBe(b);
      }
    }),
  );
});

it('all weights come back from their flat names: vectors of pairs, and weights trained whole', () => {
  const vectors = fc.subarray<'magnitude' | 'bias'>(['magnitude', 'bias']);
  const whole = fc.uniqueArray(
    fc.constantFrom('lm_head.weight', 'model.norm.weight', 'm.bias', 'm.a', 'm.b'),
  );
  fc.assert(
    fc.property(paths, fc.infiniteStream(vectors), whole, (modules, stream, names) => {
      const pairs = modules.map((path): [string, AdapterPair] => {
        const more = stream.next().value.map((member: string) => [member, one()]);
        return [path, { a: one(), b: one(), ...Object.fromEntries(more) }];
      });
      const weights = { params: new Map(pairs), whole: new Map(names.map((name) => [name, one()])) };
      const tensors = flattenWeights(weights);
      expect(new Set(tensors.values()).size).toBe(tensors.size);
      expect(unflattenWeights(tensors)).toEqual(weights);
      const [before, after] = [weights, unflattenWeights(tensors)].map((tree) => treeLeaves(tree));
      for (const [i, t] of after.entries()) expect(t).toBe(before[i]);
    }),
  );
});

it('PEFT’s names say the module and the side again', () => {
  expect(peftName('model.layers.0.mlp.up_proj.a')).toBe(
    'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight',
  );
  fc.assert(
    fc.property(paths, (modules) => {
      for (const path of modules) {
        expect(parsePeftName(peftName(`${path}.a`))).toEqual({ path, member: 'a' });
        expect(parsePeftName(peftName(`${path}.b`))).toEqual({ path, member: 'b' });
      }
    }),
  );
});

it('a bias that is trained has PEFT’s name of the layer below where the module is adapted', () => {
  const name = 'whole:model.layers.0.self_attn.q_proj.bias';
  const [alone, below] = [peftName(name), peftName(name, (path) => path.endsWith('q_proj'))];
  expect(alone).toBe('base_model.model.model.layers.0.self_attn.q_proj.bias');
  expect(below).toBe('base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias');
  for (const found of [alone, below]) expect(`whole:${parseWholeName(found)}`).toBe(name);
  expect([below, alone].map(parseBaseName)).toEqual([null, null]);
  const copies = ['modules_to_save.bias', 'original_module.bias'];
  expect(copies.map((copy) => isCopy(`base_model.model.model.norm.${copy}`))).toEqual([true, true]);
  expect([alone, below].map(isCopy)).toEqual([false, false]);
});

it('a tensor without its partner, and one that is neither, are refused by name', () => {
  const refused = (...names: string[]) => {
    const tensors = new Map(names.map((name) => [name, one()]));
    expect(() => unflattenAdapters(tensors)).toThrow(ConfigError);
    return () => unflattenAdapters(tensors);
  };
  expect(refused('m.a', 'm.b', 'n.a')).toThrow('"n.a" is no a, b, magnitude, bias of a pair');
  expect(refused('n.b')).toThrow('"n.b"');
  expect(refused('m.a', 'm.b', 'w')).toThrow('"w"');
});
