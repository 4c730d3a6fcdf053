// The LoRA update of train-step.ts on gpu.js as a checkout of commit fdbccb9 makes it, which had no harness:
// fdbccb9.mjs DIR BATCH TOKENS
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { servePeer } from './js/peer.mjs';

const [folder, batch, tokens] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const load = (name) => import(pathToFileURL(join(folder, 'packages', name, 'src', 'index.ts')).href);
const [
  { openGpuJs, keep, eachTensor },
  { loadLlama },
  { adamw },
  { fourier, initLora, resolveTargets },
  { update },
] = await Promise.all(['tensor', 'llama', 'optim', 'peft', 'train'].map(load));

const backend = openGpuJs();
const model = loadLlama(backend, join(folder, 'packages/cli/assets/micro'), { dtype: 'f16' });
const lora = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };
const optimizer = adamw({ lr: 2e-4 });
const ids = Int32Array.from(
  { length: batch * tokens },
  (_, i) => 3 + ((i * 7919) % (model.config.vocabSize - 3)),
);
const batches = [{ b: batch, t: tokens, input_ids: ids, labels: ids }];

await servePeer(`fdbccb9, ${backend.description}`, ({ lambda }, name) => {
  if (name !== `λ=${lambda}`) return null;
  const setup = {
    ...{ model, lora, optimizer, maxGradNorm: 1, checkpointActivations: false, gradAccumulation: 1, seed: 0 },
    regularizers: lambda > 0 ? [{ regularizer: fourier(), lambda, enters: 'loss' }] : [],
  };
  let params = initLora(backend, lora, resolveTargets('mlp', model.linears), 0);
  let state = optimizer.init(params);
  let step = 0;
  return async (count) => {
    for (let i = 0; i < count; i++) {
      const result = keep(update(setup, { params, state, batches, step: ++step, lr: 2e-4 }));
      await Promise.all([result.loss, result.penalty, result.gradNorm].map((number) => number.item()));
      eachTensor([params, state, result.loss, result.penalty, result.gradNorm], (x) => x.dispose());
      ({ params, state } = result);
    }
  };
});
