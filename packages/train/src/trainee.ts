import { mapTree, type Tree, treeLeaves } from '@flex/autograd';
import type { OptimizerState } from '@flex/optim';
import type { AdapterWeights } from '@flex/peft';
import { type Backend, tensor } from '@flex/tensor';

/** What an update changes, on a device. */
export interface TrainedTensors extends AdapterWeights {
  readonly state: OptimizerState;
}

/** What tensors were at a time, on the host. */
export interface Snapshot<T> {
  /** Puts them on a backend as they were: to the bit, whatever has become of theirs. */
  on(backend: Backend): T;
  /** Whether every number was finite. */
  readonly isFinite: boolean;
}

/** What a run trains, and what is left of it where its device fails. */
export interface Trainee extends TrainedTensors {
  readonly snapshot: Snapshot<TrainedTensors>;
}

/** Copies tensors to the host as they are at the time of the call. */
export async function snapshotOf<T extends Tree>(tree: T): Promise<Snapshot<T>> {
  const data = await Promise.all(treeLeaves(tree).map((t) => t.data()));
  return {
    isFinite: data.every(areFinite),
    on(backend) {
      let i = 0;
      return mapTree(({ shape, dtype }) => tensor(backend, data[i++], shape, dtype), tree);
    },
  };
}

/** NUMERICS: 0 times a number is 0 where it is finite and NaN where it is not. */
function areFinite(numbers: ArrayLike<number>): boolean {
  let zero = 0;
  for (let i = 0; i < numbers.length; i++) zero += 0 * numbers[i];
  return zero === 0;
}

/** What a run trains from now on. */
export async function newTrainee({ params, whole, state }: TrainedTensors): Promise<Trainee> {
  const trained = { params, whole, state };
  return { ...trained, snapshot: await snapshotOf(trained) };
}
