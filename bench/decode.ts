// One token after the other of one text, of four and of eight together, as a share of the memory bandwidth:
// a token of a text reads all matrices but the embedding, and its keys and values.
// tsx decode.ts --model DIR [--dtype f16] [--tokens 512] and the options of harness.ts
import { loadModel, newSlots } from '@flex/llama';
import { add, bytesOf, scope, sum, zeros } from '@flex/tensor';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';

const options = benchOptions({ model: '', dtype: 'f16', tokens: '512' });
const backend = await openDevice(options);
const model = await loadModel(backend, options.model, { dtype: options.dtype as 'f16' | 'f32' });
const { layers, kvHeads, headDim } = model.config;
const length = Number(options.tokens);
const prompt = Array.from({ length }, (_, i) => 3 + ((7919 * i) % (model.config.vocabSize - 3)));

const matrices = [...model.weights]
  .filter(([name]) => name !== 'model.embed_tokens.weight')
  .reduce((bytes, [, weight]) => bytes + bytesOf(weight), 0);
const cacheOf = (tokens: number) =>
  2 * layers * tokens * kvHeads * headDim * (options.dtype === 'f16' ? 2 : 4);

/** Each run is a token of every text. */
async function decoding(count: number): Promise<Case> {
  const slots = newSlots(model, count);
  let tokens = length;
  const prefill = performance.now();
  // Each its own, since a prompt is computed once.
  for (let slot = 0; slot < count; slot++)
    await slots.fill(slot, [...prompt.slice(slot), ...prompt.slice(0, slot)]);
  const prompt_seconds = (performance.now() - prefill) / 1000 / count;
  return {
    name: `a token of ${count === 1 ? 'one text' : `${count} texts`} after ${length}`,
    facts: { count, prompt_seconds },
    limit: 'limit: reading',
    async run(times) {
      for (let i = 0; i < times; i++, tokens++) {
        await slots.step(new Map(Array.from({ length: count }, (_, slot) => [slot, prompt[slot]])));
      }
    },
    work: () => ({
      gigabytes_per_second: (matrices + count * cacheOf(tokens)) / 1e9,
      tokens_per_second: count,
    }),
    report: () => ({ peak_gigabytes: backend.stats.peakBytes / 1e9 }),
  };
}

/** Reads and writes of 256 MiB, more than any core keeps. */
const [rows, columns] = [4096, 16384];
const bytes = 4 * rows * columns;
const x = zeros(backend, [rows, columns]);
const limit = (name: string, gigabytes: number, f: () => unknown): Case => ({
  name: `limit: reading, ${name}`,
  facts: {},
  async run(times) {
    for (let i = 0; i < times; i++) scope(() => void f());
    await backend.sync();
  },
  work: () => ({ gigabytes_per_second: gigabytes }),
});

await bench(options, {
  name: `decode-${options.device}`,
  what: `FLeX, ${backend.description}`,
  facts: () => ({ layers, dtype: options.dtype, matrix_gigabytes: matrices / 1e9 }),
  cases: [await decoding(1), await decoding(4), await decoding(8)],
  limits: [
    limit('sums of rows', bytes / 1e9, () => sum(x, { axes: [-1] })),
    limit('and writing, x + 1', (2 * bytes) / 1e9, () => add(x, 1)),
  ],
  warmUps: 2,
  rounds: 5,
});
await backend.close();
