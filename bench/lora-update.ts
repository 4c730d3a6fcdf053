import { join } from 'node:path';
import { type CausalLM, loadModel, type TokenBatch } from '@flex/llama';
import { adamw } from '@flex/optim';
import {
  type Adapters,
  flattenAdapters,
  initLora,
  type LoraConfig,
  type Regularizer,
  resolveLora,
  resolveTargets,
} from '@flex/peft';
import { type Backend, eachTensor, keep, type Tensor } from '@flex/tensor';
import { type UpdateSetup, update } from '@flex/train';

export const micro = join(import.meta.dirname, '../packages/cli/assets/micro');
export const [batch, tokens] = [4, 128];
export const lambda = 0.02;
const lora: LoraConfig = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };

export const microOn = (backend: Backend): Promise<CausalLM> => loadModel(backend, micro, { dtype: 'f16' });

/** Adapters of the bundled model before the first update. */
export const freshAdapters = (model: CausalLM): Adapters =>
  initLora(model.backend, lora, resolveTargets('mlp', model.linears), 0);

/** Updates of adapters of their own, batch 4 × 128, with or without a penalty; each gives its loss. */
export function loraUpdates(model: CausalLM, label: string, regularizer?: Regularizer) {
  const ids = Int32Array.from(
    { length: batch * tokens },
    // The same as labels, as the peer has; deterministic.
    (_, i) => 3 + ((i * 7919) % (model.config.vocabSize - 3)),
  );
  const batches: readonly TokenBatch[] = [{ b: batch, t: tokens, input_ids: ids, labels: ids }];
  let params = freshAdapters(model);
  const optimizer = adamw({ lr: 2e-4 });
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, params),
    optimizer,
    regularizers: regularizer ? [{ label, title: label, regularizer, lambda, enters: 'loss' }] : [],
    maxGradNorm: 1,
    checkpointActivations: 0,
    gradAccumulation: 1,
    seed: 0,
  };
  let state = optimizer.init(flattenAdapters(params));
  let step = 0;
  return async (): Promise<number> => {
    step++;
    const result = keep(update(setup, { params, whole: new Map(), state, batches, step, lr: 2e-4 }));
    const { params: _, whole: _w, state: _s, ...told } = result;
    const numbers: Tensor[] = [];
    eachTensor([told.loss, told], (x) => numbers.push(x));
    const [value] = await Promise.all(numbers.map((number) => number.item()));
    eachTensor([params, state, told], (x) => x.dispose());
    ({ params, state } = result);
    return value;
  };
}
