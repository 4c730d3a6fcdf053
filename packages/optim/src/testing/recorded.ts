import { readFileSync } from 'node:fs';
import { shared } from '@flex/fixtures';
import { type Backend, type Tensor, tensor } from '@flex/tensor';
import { relativeError } from '@flex/tensor/testing';
import type { Optimizer, Params } from '../optimizer.ts';

/** Reference values of optimizers, below `shared`. */
export const recordedPath = 'fixtures/goldens/optimizers.json';

type Values = readonly (readonly (number | readonly number[])[])[];

/** What an optimizer was told, and the parameters after each of its 15 updates. */
interface RecordedOptimizer {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay: number;
  readonly gamma: number;
  readonly batch_tokens: number;
  readonly update_every: number;
  /** By the number of the update, from 0: ĝ, or u⊙(H·u). */
  readonly hessian_inputs: Readonly<Record<string, Values>>;
  readonly params: readonly Values[];
}

type Recorded = Readonly<Record<'adamw' | 'sophia_gnb' | 'sophia_hutchinson', RecordedOptimizer>> & {
  readonly shapes: readonly (readonly number[])[];
  readonly init: Values;
  readonly grads: readonly Values[];
};

export const readRecorded = (): Recorded => JSON.parse(readFileSync(shared(recordedPath), 'utf8'));

/**
 * The largest relative error of a parameter over 15 updates on recorded gradients. `estimate` makes the curvature of
 * an update from what was recorded of it.
 */
export async function errorOnRecorded(
  backend: Backend,
  kind: 'adamw' | 'sophia_gnb' | 'sophia_hutchinson',
  optimizer: Optimizer,
  estimate: (recorded: Params) => Params = (recorded) => recorded,
): Promise<number> {
  const recorded = readRecorded();
  const { lr, params: expected, hessian_inputs: curvatures = {} } = recorded[kind];
  const named = (values: Values) =>
    new Map(values.map((v, i) => [`p${i}`, tensor(backend, v.flat(), recorded.shapes[i])]));
  let params: ReadonlyMap<string, Tensor> = named(recorded.init);
  let state = optimizer.init(params);
  let worst = 0;
  for (const [i, grads] of recorded.grads.entries()) {
    const given = curvatures[i];
    const info = { step: i + 1, lr, ...(given && { curvature: estimate(named(given)) }) };
    ({ params, state } = optimizer.update(named(grads), state, params, info));
    for (const [k, p] of [...params.values()].entries()) {
      worst = Math.max(worst, relativeError(await p.data(), expected[i][k].flat()));
    }
  }
  if (recorded.grads.length !== 15) throw new Error(`${recorded.grads.length} recorded updates, not 15`);
  return worst;
}
