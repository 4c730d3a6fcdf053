// Eight prompts of 32 to 60 tokens, 64 new ones each: one after the other and together, against transformers
// on PyTorch.
// tsx generate.ts and the options of harness.ts
import { join } from 'node:path';
import { generate, generateAll, loadModel } from '@flex/llama';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';

const micro = join(import.meta.dirname, '../packages/cli/assets/micro');
const [count, maxNewTokens] = [8, 64];
const options = benchOptions({});
const backend = await openDevice(options);
const model = await loadModel(backend, micro, { dtype: 'f16' });

// Sampled so that every seed goes its own way; the ids are the peer's too.
const requests = Array.from({ length: count }, (_, i) => ({
  prompt: Array.from({ length: 32 + 4 * i }, (_, j) => 3 + (((i + j) * 7919) % (model.config.vocabSize - 3))),
  ...{ maxNewTokens, temperature: 1, seed: i },
}));

const all = async (batchSize: number) => {
  if (batchSize > 1) return generateAll(model, requests, { batchSize });
  const completions = [];
  for (const { prompt, ...options } of requests) completions.push(await generate(model, prompt, options));
  return completions;
};

const cases = [1, 4, 8].map((batch): Case => {
  let tokens = 0;
  return {
    name: `${count} prompts, ${batch === 1 ? 'one after the other' : `${batch} together`}`,
    facts: { batch },
    async run() {
      tokens = (await all(batch)).reduce((sum, { ids }) => sum + ids.length, 0);
    },
    work: () => ({ tokens_per_second: tokens }),
  };
});

await bench(options, {
  name: `generate-${options.device}`,
  what: `FLeX, ${backend.description}`,
  facts: () => ({ prompts: count, new_tokens: maxNewTokens }),
  cases,
  warmUps: 1,
  rounds: 5,
  peers: [['generate.py', micro, String(count), String(maxNewTokens)]],
});
await backend.close();
