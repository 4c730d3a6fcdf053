import { type CausalLM, emptyModel, tokenLosses } from '@flex/llama';
import { flattenWeights, resolveLora, withAdapter } from '@flex/peft';
import { type CountedDevice, eachTensor, keep, openCounting, scope } from '@flex/tensor';
import type { TrainConfig } from './config.ts';
import { estimateCurvature } from './curvature.ts';
import type { LargestBatches } from './largest-batches.ts';
import { namedOptimizer } from './named-parts.ts';
import { makePart, titleOf } from './parts.ts';
import { emptyStart } from './starting-adapter.ts';
import { type UpdateSetup, update } from './update.ts';
import { weightedRegularizers } from './weighted-regularizers.ts';

/** Bytes of a run's tensors: those that live as long as it, and those that are alive at once beside them. */
export interface MemoryUse {
  /** The model's frozen weights. */
  readonly weights: number;
  /** What is trained, and what is kept of the model to train it. */
  readonly adapter: number;
  readonly optimizer: number;
  /** What an update keeps of the forward pass for the backward one. */
  readonly activations: number;
  /** The rest of an update's peak: gradients, and what a layer or an op needs while it runs. */
  readonly workspace: number;
  /** The most that is alive at once in an update: the sum of these. */
  readonly update: number;
  /** The same in an evaluation; 0 where nothing is held out. */
  readonly evaluation: number;
  readonly peak: number;
  /** What the device gives in all, with what lies free between tensors. */
  readonly reserved: number;
}

/**
 * What the run of a configuration takes of a device: an evaluation and an update, with the first `recomputed`
 * layers computed again, where nothing is computed at all. Throws what a run throws for its model, its
 * adapter and its parts, but for what only numbers can tell.
 */
export async function dryRun(
  config: TrainConfig,
  device: CountedDevice,
  { training, accumulated, heldOut }: LargestBatches,
  recomputed: number,
): Promise<MemoryUse> {
  const backend = openCounting(device, { memoryAlone: true });
  const { stats } = backend;
  const made: unknown[] = [];
  const held = <T>(value: T): T => {
    made.push(value);
    return value;
  };
  const model = emptyModel(backend, config.model, config);
  try {
    const weights = stats.liveBytes;
    const { lora, removed, warnings: _, ...trained } = held(emptyStart(config, model));
    const resolved = held(resolveLora(lora, trained.params, { weights: model.weights, removed }));
    const regularizers = await weightedRegularizers(config, trained.params);
    const adapter = stats.liveBytes - weights;
    const part = await makePart('optimizer', config.optimizer, undefined);
    const optimizer = namedOptimizer(titleOf('optimizer', part), part.value);
    const state = held(optimizer.init(flattenWeights(trained)));
    const base = stats.liveBytes;
    const peakOf = (f: () => void) => {
      backend.resetPeak();
      f();
      return stats.peakBytes;
    };
    const evaluation = heldOut
      ? peakOf(() => scope(() => void tokenLosses(withAdapter(model, trained, resolved), heldOut.batch)))
      : 0;
    // What is alive when the layers are done, which the last norm and the head come after.
    let before = 0;
    const reach = () => {
      before ||= stats.liveBytes;
    };
    const watched: Pick<CausalLM, 'norm' | 'linear'> = {
      norm(path) {
        if (path === 'model.norm') reach();
        return model.norm(path);
      },
      linear(x, path) {
        if (path === 'lm_head') reach();
        return model.linear(x, path);
      },
    };
    const setup: UpdateSetup = {
      model: { ...model, ...watched },
      lora: resolved,
      optimizer,
      loraPlusRatio: config.optimizer.loraPlusRatio,
      regularizers,
      maxGradNorm: config.train.maxGradNorm,
      checkpointActivations: recomputed,
      seed: config.train.seed,
      gradAccumulation: config.train.gradAccumulation,
    };
    const batches = accumulated ? [training, training] : [training];
    const inputs = { ...trained, state, batches, step: 1, lr: optimizer.lr };
    const peak = peakOf(() => {
      const curvature = held(keep(estimateCurvature(setup, inputs)));
      before = 0;
      held(keep(update(setup, { ...inputs, ...(curvature && { curvature }) })));
    });
    const activations = Math.max(0, before - base);
    return {
      weights,
      adapter,
      optimizer: base - adapter - weights,
      activations,
      workspace: peak - base - activations,
      update: peak,
      evaluation,
      peak: Math.max(peak, evaluation),
      reserved: stats.reservedBytes,
    };
  } finally {
    eachTensor(made, (t) => t.dispose());
    model.dispose();
  }
}
