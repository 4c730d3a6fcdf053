import { join } from 'node:path';
import { mapTree } from '@flex/autograd';
import { temporaryFolder } from '@flex/base/testing';
import { loadModel } from '@flex/llama';
import { writeTinyModel } from '@flex/llama/testing';
import { adamw } from '@flex/optim';
import { flattenWeights, initLora, resolveLora, resolveTargets } from '@flex/peft';
import { type Backend, openReference, size, type Tensor, tensor, uniform } from '@flex/tensor';
import { collate } from '../data/batches.ts';
import type { PreparedRun } from '../prepare.ts';
import { newTrainee } from '../trainee.ts';
import type { UpdateSetup } from '../update.ts';

const lora = { rank: 2, alpha: 2, dropout: 0, targets: ['gate_proj'], scaling: 'alpha/r' } as const;
const input_ids = Int32Array.of(1, 2, 3, 4, 5, 6);
const batch = collate([{ input_ids, labels: input_ids, rows: ['tiny:1'] }]);

/**
 * What `makeUpdate` needs of a run: a tiny model, an adapter of it that does something, and one batch. `setup`
 * are the run's own choices, `edit` changes the model's tensors.
 */
export async function tinyRun(
  setup: Partial<UpdateSetup> = {},
  {
    backend = openReference(),
    edit,
  }: { backend?: Backend; edit?: (tensors: Map<string, Float32Array>) => void } = {},
) {
  const dir = join(temporaryFolder(), 'model');
  writeTinyModel(dir, {}, edit);
  const model = await loadModel(backend, dir, { dtype: 'f32' });
  const fresh = initLora(backend, lora, resolveTargets(lora.targets, model.linears), 0);
  const drawn = (t: Tensor) => uniform(size(t.shape), { key: [1, size(t.shape)] }).map((u) => u - 0.4);
  const params = mapTree((t) => tensor(backend, drawn(t), t.shape), fresh);
  const optimizer = setup.optimizer ?? adamw();
  const weights = { params, whole: new Map<string, Tensor>() };
  return {
    setup: {
      model,
      lora: resolveLora(lora, params),
      optimizer,
      regularizers: [],
      maxGradNorm: null,
      checkpointActivations: 0,
      seed: 0,
      gradAccumulation: 1,
      ...setup,
    },
    trainee: await newTrainee({ ...weights, state: optimizer.init(flattenWeights(weights)) }),
    batches: () => [batch],
    plan: { steps: 100, batches: () => [[0]], epochAfter: () => 1 },
    schedule: () => 1,
  } satisfies Pick<PreparedRun, 'setup' | 'trainee' | 'batches' | 'plan' | 'schedule'>;
}
