import { ones, openReference } from '@flex/tensor';
import { expect, it } from 'vitest';
import { flattenWeights } from './adapters.ts';
import { learningRateFactors } from './lora-plus.ts';

it('each B and each vector is faster, an embedding’s pair and whole matrices are not', () => {
  const backend = openReference();
  const of = (...shape: number[]) => ones(backend, shape);
  const weights = {
    params: new Map([
      ['model.embed_tokens', { a: of(2, 9), b: of(4, 2) }],
      ['m.q_proj', { a: of(2, 4), b: of(4, 2), magnitude: of(4) }],
      ['m.b', { a: of(2, 4), b: of(4, 2), bias: of(4) }],
    ]),
    whole: new Map([
      ['lm_head.weight', of(9, 4)],
      ['model.norm.weight', of(4)],
    ]),
  };
  expect(Object.fromEntries(learningRateFactors(flattenWeights(weights), 16))).toEqual({
    'model.embed_tokens.a': 1,
    'model.embed_tokens.b': 1,
    'm.q_proj.a': 1,
    'm.q_proj.b': 16,
    'm.q_proj.magnitude': 16,
    'm.b.a': 1,
    'm.b.b': 16,
    'm.b.bias': 16,
    'whole:lm_head.weight': 1,
    'whole:model.norm.weight': 16,
  });
});
