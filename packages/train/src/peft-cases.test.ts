import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { valueAndGrad } from '@flex/autograd';
import { openPeftCase, peftCases, peftInputs } from '@flex/fixtures';
import {
  type CausalLM,
  forward,
  generate,
  generateAll,
  loadModel,
  logits,
  lossSum,
  scoredTokens,
  type TokenBatch,
} from '@flex/llama';
import {
  type AdapterWeights,
  flattenWeights,
  openAdapter,
  peftName,
  readAdapter,
  removedBy,
  resolveLora,
  withAdapter,
  writeAdapter,
} from '@flex/peft';
import { type Backend, matmul, openReference, scope, tensor } from '@flex/tensor';
import { describeEachBackend, relativeError } from '@flex/tensor/testing';
import { afterAll, describe, expect, test } from 'vitest';

const { input_ids, labels } = peftInputs();
const batch: TokenBatch = {
  b: input_ids.length,
  t: input_ids[0].length,
  input_ids: Int32Array.from(input_ids.flat()),
  labels: Int32Array.from(labels.flat()),
};

async function logitsOf(model: CausalLM): Promise<Float32Array> {
  const { b, t } = batch;
  const ids = tensor(model.backend, batch.input_ids, [b, t], 'i32');
  return Float32Array.from(await scope(() => logits(model, forward(model, ids))).data());
}

async function openCase(backend: Backend, name: string) {
  const { dir, model: folder, ...expected } = openPeftCase(name);
  const model = await loadModel(backend, folder, { dtype: 'f32' });
  const adapter = readAdapter(backend, dir, model);
  const { config, params } = adapter;
  const removed = await removedBy(config, [...params.keys()], model.weights);
  const lora = resolveLora(config, params, { ...model, removed });
  const adapt = (weights: AdapterWeights) => withAdapter(model, weights, lora);
  return { dir, expected, model, adapter, adapt };
}

const folder = mkdtempSync(join(tmpdir(), 'flex-peft-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(peftCases)('PEFT’s %s', (name) => {
  test('logits are within 1e-5, gradients within 1e-4', async () => {
    const { expected, adapter, adapt } = await openCase(openReference(), name);
    expect(relativeError(await logitsOf(adapt(adapter)), expected.logits)).toBeLessThan(1e-5);
    if (expected.grads.size === 0) return;
    const trained = { params: adapter.params, whole: adapter.whole };
    const { grads } = valueAndGrad((weights: AdapterWeights) => lossSum(adapt(weights), batch), trained);
    const isAdapted = (path: string) => adapter.params.has(path);
    const found = new Map([...flattenWeights(grads)].map(([key, g]) => [peftName(key, isAdapted), g]));
    expect([...found.keys()].sort()).toEqual([...expected.grads.keys()].sort());
    for (const [key, g] of found) {
      const mean = Float32Array.from(await g.data(), (x) => x / scoredTokens(batch));
      expect(relativeError(mean, expected.grads.get(key)!.data), key).toBeLessThan(1e-4);
    }
  });

  test('written again is the same adapter, with the same config', async () => {
    const { dir, model, adapter } = await openCase(openReference(), name);
    const { params, whole, config, baseModel } = adapter;
    const out = join(folder, name);
    await writeAdapter(out, params, config, { whole, baseModel });
    const [before, after] = [adapter, readAdapter(model.backend, out, model)].map(flattenWeights);
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [key, t] of before) expect(await after.get(key)!.data(), key).toEqual(await t.data());
    expect(sortedConfig(out)).toEqual(sortedConfig(dir));
  });
});

test.each(['pissa', 'olora'])('%s is read as PEFT converts it to a plain adapter', async (name) => {
  const { dir, model: folder, logits } = openPeftCase(name);
  const model = await loadModel(openReference(), folder, { dtype: 'f32' });
  const { params, whole, config, warnings } = await openAdapter(model, dir);
  expect(warnings).toEqual([`${dir}: began as ${name}: it comes as a plain adapter of rank 4`]);
  const adapted = withAdapter(model, { params, whole }, resolveLora(config, params, model));
  expect(relativeError(await logitsOf(adapted), logits)).toBeLessThan(1e-5);
  const theirs = readAdapter(model.backend, openPeftCase(`${name}-converted`).dir, model);
  expect({ ...config, targets: [] }).toEqual({ ...theirs.config, targets: [] });
  for (const [path, { a, b }] of theirs.params) {
    const ours = params.get(path)!;
    // The halves that were removed may differ in sign; their products may not.
    const products = [matmul(b, a), matmul(ours.b, ours.a)].map((t) => t.data());
    const [expected, found] = await Promise.all(products);
    expect(relativeError(found, expected), path).toBeLessThan(1e-5);
  }
  expect(() => resolveLora({ ...config, init: 'pissa' }, params, model)).toThrow('take openAdapter');
});

/** A config without the order of its lists of names, which PEFT has as sets. */
function sortedConfig(dir: string): unknown {
  return JSON.parse(readFileSync(join(dir, 'adapter_config.json'), 'utf8'), (_, value) =>
    Array.isArray(value) && typeof value[0] === 'string' ? value.sort() : value,
  );
}

const everywhere = ['embedding-tied-ensured', 'saved', 'saved-norms', 'tokens-each', 'tokens-tied'];

describeEachBackend((backend) => {
  test.each(everywhere)('logits of %s are within 1e-5', async (name) => {
    const { expected, adapter, adapt } = await openCase(backend(), name);
    expect(relativeError(await logitsOf(adapt(adapter)), expected.logits)).toBeLessThan(1e-5);
  });

  test.each(everywhere)('greedy continuations of %s follow its logits', async (name) => {
    const { adapter, adapt } = await openCase(backend(), name);
    const adapted = adapt(adapter);
    const prompt = input_ids[0].slice(0, 4);
    const ids = [...prompt];
    for (let i = 0; i < 4; i++) {
      const all = scope(() =>
        logits(adapted, forward(adapted, tensor(backend(), Int32Array.from(ids), [1, ids.length], 'i32'))),
      );
      const last = (await all.data()).slice(-adapted.config.vocabSize);
      ids.push(last.indexOf(Math.max(...last)));
    }
    const next = ids.slice(prompt.length);
    const eos = next.findIndex((id) => adapted.config.eosIds.includes(id));
    const expected = eos < 0 ? next : next.slice(0, eos + 1);
    expect((await generate(adapted, prompt, { maxNewTokens: 4 })).ids).toEqual(expected);
    const [, second] = await generateAll(
      adapted,
      [
        { prompt: [1], maxNewTokens: 4 },
        { prompt, maxNewTokens: 4 },
      ],
      { batchSize: 2 },
    );
    expect(second.ids).toEqual(expected);
  });
});
