import { grad, mapTree } from '@flex/autograd';
import { globalNorm } from '@flex/optim';
import { type Adapters, flattenAdapters, lowRankOf } from '@flex/peft';
import { add, size, type Tensor, tensor, uniform } from '@flex/tensor';
import { readNumber } from './read-number.ts';
import type { StepMetrics } from './run.ts';
import type { UpdateSetup } from './update.ts';

/** How many times the task's gradient one of a penalty leaves the optimizer little else to follow. */
export const overwhelming = 10;

/**
 * A line for each penalty that, by the numbers of the first update, leaves nothing to learn or does nothing:
 * ‖λ·∇L‖ is ten times ‖∇loss‖ or more; decoupled, lr·λ·∇L moves the adapter as far as zero in the run's
 * updates; ∇L is 0 at the start and elsewhere.
 */
export async function penaltyWarnings(
  { regularizers, optimizer }: Pick<UpdateSetup, 'regularizers' | 'optimizer'>,
  adapters: Adapters,
  first: StepMetrics,
  updates: number,
): Promise<string[]> {
  const params = lowRankOf(adapters);
  const found: string[] = [];
  for (const { label, title, regularizer, lambda, enters } of regularizers.filter(
    ({ lambda }) => lambda > 0,
  )) {
    const say = (line: string) => found.push(`${title}: ${line}`);
    const penalty = (at: Adapters) => regularizer.penalty(at, 1);
    const value = Number(first[`weighted_penalty.${label}`]);
    const pull = Number(first[`penalty_grad_norm.${label}`]);
    const gone = 'this shrinks the adapter away, and little is learnt; lower its lambda';
    const times = pull / first.task_grad_norm;
    if (pull === 0) {
      if ((await readNumber(() => norm(grad(penalty, mapTree(shaken, params))))) === 0)
        say('its gradient is 0 at the start and at weights drawn at random: it does nothing');
    } else if (enters === 'loss' && times >= overwhelming && first.task_grad_norm > 0) {
      say(
        `at the start λ·L is ${digits(value / first.loss)} times the task's loss and its gradient ` +
          `${digits(times)} times the task's: ${gone} (${digits(lambda / times)} makes them equal)`,
      );
    } else if (enters === 'decoupled') {
      const size = await readNumber(() => norm(params));
      if (Number.isNaN(size))
        throw new Error(`update 1: the adapter's norm is NaN, and its numbers are finite`);
      const moved = (optimizer.lr * pull) / size;
      if (moved * updates < 1) continue;
      say(
        `lr·λ·∇L is ${digits(100 * moved)} % of the adapter's norm, in each of ${updates} updates: ${gone}`,
      );
    }
  }
  return found;
}

/** √Σx² over all A and B: f32 []. */
const norm = (adapters: Adapters): Tensor => globalNorm(flattenAdapters(adapters));

/** w + u, u uniform in [0, 1). */
function shaken(w: Tensor): Tensor {
  return add(w, tensor(w.backend, uniform(size(w.shape), { key: [0, 0], counter: [0, 0] }), w.shape));
}

const digits = (x: number): string => String(Number(x.toPrecision(2)));
