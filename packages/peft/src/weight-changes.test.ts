import { openReference, tensor } from '@flex/tensor';
import { expect, it } from 'vitest';
import { type AdapterPair, embedding, head } from './adapters.ts';
import type { LoraConfig } from './lora.ts';
import { weightChanges } from './weight-changes.ts';

const backend = openReference();
const matrix = (rows: number, columns: number, phase: number) =>
  tensor(
    backend,
    Float32Array.from({ length: rows * columns }, (_, i) => i + phase),
    [rows, columns],
  );

/** A table [3, 2] with an adapter of rank 1, and rows of its own for token 1 of the head. */
const pair: AdapterPair = { a: matrix(1, 3, 1), b: matrix(2, 1, 10) };
const rows = matrix(1, 2, 100);
const config: LoraConfig = { rank: 1, alpha: 2, dropout: 0, targets: ['embed_tokens'], scaling: 'alpha/r' };
const changesOf = (more: Partial<LoraConfig>, isTied: boolean) =>
  weightChanges(
    {
      params: new Map([[embedding, pair]]),
      whole: new Map(more.trainableTokenIndices ? [[`${head}.tokens`, rows]] : []),
    },
    { ...config, ...more },
    { isTied, hasBias: () => true },
  );

it('an embedding’s pair is turned: rows of A are columns of the table', async () => {
  const table = (await changesOf({}, false)).get(`${embedding}.weight`);
  expect(table?.pairs).toEqual([
    { left: Float32Array.of(1, 2, 3), right: Float32Array.of(10, 11), rank: 1, scale: 2 },
  ]);
});

it('a bias of B is added to the layer’s own, or to the one that was trained in its place', async () => {
  const path = 'model.layers.0.self_attn.q_proj';
  const [a, b] = [matrix(1, 2, 1), matrix(3, 1, 10)];
  const vector = (...data: number[]) => tensor(backend, Float32Array.from(data), [3]);
  const changes = (hasBias: boolean) =>
    weightChanges(
      {
        params: new Map([[path, { a, b, bias: vector(1, 2, 3) }]]),
        whole: new Map([[`${path}.bias`, vector(7, 8, 9)]]),
      },
      config,
      { isTied: false, hasBias: () => hasBias },
    );
  expect((await changes(true)).get(`${path}.bias`)).toEqual({
    whole: Float64Array.of(7, 8, 9),
    pairs: [{ left: Float32Array.of(1), right: Float64Array.of(1, 2, 3), rank: 1, scale: 2 }],
  });
  await expect(changes(false)).rejects.toThrow(
    `the adapter of ${path} has a bias (lora_bias), and the layer`,
  );
});

it('a tied head follows the embedding where that is ensured, with rows of its own in front', async () => {
  const [table, lmHead] = [`${embedding}.weight`, `${head}.weight`];
  expect((await changesOf({}, true)).has(lmHead)).toBe(false);
  const ensured = await changesOf({ ensureWeightTying: true }, true);
  expect(ensured.get(lmHead)).toBe(ensured.get(table));
  const own = await changesOf({ ensureWeightTying: true, trainableTokenIndices: { lm_head: [1] } }, true);
  expect(own.get(lmHead)?.pairs).toEqual(own.get(table)?.pairs);
  expect([...(own.get(lmHead)?.rows?.keys() ?? [])]).toEqual([1]);
  expect(own.get(table)?.rows).toBeUndefined();
  const apart = await changesOf({ trainableTokenIndices: { lm_head: [1] } }, true);
  expect(apart.get(lmHead)?.pairs).toEqual([]);
});
