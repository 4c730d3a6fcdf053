// One LoRA update of the bundled model, batch 4 × 128, against PyTorch + PEFT.
// tsx train-step.ts and the options of harness.ts
import { join } from 'node:path';
import { loadLlama, type TokenBatch } from '@flex/llama';
import { adamw } from '@flex/optim';
import {
  type Adapters,
  dctPenalty,
  flattenAdapters,
  fourier,
  initLora,
  type LoraConfig,
  l2,
  matchedL2,
  type Regularizer,
  resolveLora,
  resolveTargets,
} from '@flex/peft';
import { eachTensor, keep } from '@flex/tensor';
import { type UpdateSetup, update } from '@flex/train';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';

const micro = join(import.meta.dirname, '../packages/cli/assets/micro');
const [b, t] = [4, 128];
const options = benchOptions({});
const backend = await openDevice(options);
const model = loadLlama(backend, micro, { dtype: 'f16' });
const lora: LoraConfig = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };
const optimizer = adamw({ lr: 2e-4 });
const lambda = 0.02;
const fresh = (): Adapters => initLora(backend, lora, resolveTargets('mlp', model.linears), 0);

/** The same ids as labels, as the peer has; deterministic. */
const input_ids = Int32Array.from(
  { length: b * t },
  (_, i) => 3 + ((i * 7919) % (model.config.vocabSize - 3)),
);
const batches: readonly TokenBatch[] = [{ b, t, input_ids, labels: input_ids }];

/** Updates of an adapter of its own, with or without a penalty. */
function training(name: string, regularizer?: Regularizer): Case {
  let params = fresh();
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, params),
    optimizer,
    regularizers: regularizer ? [{ label: name, regularizer, lambda, enters: 'loss' }] : [],
    maxGradNorm: 1,
    checkpointActivations: false,
    gradAccumulation: 1,
    seed: 0,
  };
  let state = optimizer.init(flattenAdapters(params));
  let step = 0;
  let peak = 0;
  const updateOnce = async () => {
    step++;
    backend.resetPeak();
    const result = keep(update(setup, { params, whole: new Map(), state, batches, step, lr: 2e-4 }));
    const { loss, penalties, gradNorm } = result;
    await Promise.all([loss, gradNorm, ...penalties].map((number) => number.item()));
    eachTensor([params, state, loss, penalties, gradNorm], (x) => x.dispose());
    ({ params, state } = result);
    peak = Math.max(peak, backend.stats.peakBytes);
  };
  return {
    name,
    facts: { lambda: regularizer ? lambda : 0 },
    async run(count) {
      for (let i = 0; i < count; i++) await updateOnce();
    },
    work: () => ({ tokens_per_second: b * t }),
    report: () => ({ peak_bytes: peak }),
  };
}

await bench(options, {
  name: `train-step-${options.device}`,
  what: `FLeX, ${backend.description}`,
  facts: () => ({ batch: b, tokens: t }),
  cases: [
    training('λ=0'),
    training(`λ=${lambda}`, fourier()),
    training('l2', l2()),
    training('dct', dctPenalty()),
    training('matched-l2', await matchedL2({}, fresh())),
    training('matched-l2 kept', await matchedL2({ match: 'gradient', factor: 'kept' })),
  ],
  warmUps: 3,
  rounds: 15,
  peers: [['train_step.py', micro, String(b), String(t)]],
});
await backend.close();
