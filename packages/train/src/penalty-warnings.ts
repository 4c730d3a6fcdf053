import { grad, innerProduct, mapTree, type Tree, valueAndGrad } from '@flex/autograd';
import { type Adapters, type AdapterWeights, lowRankOf } from '@flex/peft';
import { add, eachTensor, scope, size, sqrt, type Tensor, tensor, uniform } from '@flex/tensor';
import { taskGradient, type UpdateInputs, type UpdateSetup } from './update.ts';

/** How many times the task's gradient one of a penalty leaves the optimizer little else to follow. */
const overwhelming = 10;

/** What is measured is what the first update meets; `updates` are those of the whole run. */
export interface FirstUpdate extends AdapterWeights, Pick<UpdateInputs, 'batches'> {
  readonly updates: number;
}

/**
 * A line for each penalty that, as measured before the first update, leaves nothing to learn or does nothing:
 * ‖λ·∇L‖ is ten times ‖∇loss‖ or more; decoupled, lr·λ·∇L moves the adapter as far as zero in the run's
 * updates; ∇L is 0 at the start and elsewhere. Costs as much as the gradients of one update.
 */
export async function penaltyWarnings(setup: UpdateSetup, first: FirstUpdate): Promise<string[]> {
  const pulling = setup.regularizers.filter(({ lambda }) => lambda > 0);
  if (pulling.length === 0) return [];
  const { updates } = first;
  const params = lowRankOf(first.params);
  const [loss, slope, length] = await read(() => {
    const task = taskGradient(setup, { ...first, step: 1 });
    return [task.value, norm(task.grads), norm(params)];
  });
  const found: string[] = [];
  for (const { label, regularizer, lambda, enters } of pulling) {
    const say = (line: string) => found.push(`regularizer "${label}": ${line}`);
    const penalty = (adapters: Adapters) => regularizer.penalty(adapters, 1);
    const [value, pull] = await read(() => {
      const { value, grads } = valueAndGrad(penalty, params);
      return [value, norm(grads)];
    });
    const gone = 'this shrinks the adapter away, and little is learnt; lower its lambda';
    const [times, moved] = [(lambda * pull) / slope, (setup.optimizer.lr * lambda * pull) / length];
    if (pull === 0) {
      const [elsewhere] = await read(() => [norm(grad(penalty, mapTree(shaken, params)))]);
      if (elsewhere === 0)
        say('its gradient is 0 at the start and at weights drawn at random: it does nothing');
    } else if (enters === 'loss' && times >= overwhelming && slope > 0) {
      say(
        `before the first update λ·L is ${digits((lambda * value) / loss)} times the task's loss and its ` +
          `gradient ${digits(times)} times the task's: ${gone} (${digits(lambda / times)} makes them equal)`,
      );
    } else if (enters === 'decoupled' && moved * updates >= 1) {
      say(
        `lr·λ·∇L is ${digits(100 * moved)} % of the adapter's norm, in each of ${updates} updates: ${gone}`,
      );
    }
  }
  return found;
}

async function read(f: () => Tensor[]): Promise<number[]> {
  const made = scope(f);
  const numbers = await Promise.all(made.map((number) => number.item()));
  eachTensor(made, (t) => t.dispose());
  return numbers;
}

/** √Σ over all tensors: f32 []. */
const norm = (tree: Tree): Tensor => sqrt(innerProduct(tree, tree));

/** w + u, u uniform in [0, 1). */
function shaken(w: Tensor): Tensor {
  return add(w, tensor(w.backend, uniform(size(w.shape), { key: [0, 0], counter: [0, 0] }), w.shape));
}

const digits = (x: number): string => String(Number(x.toPrecision(2)));
