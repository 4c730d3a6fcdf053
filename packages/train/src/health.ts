import { lastingSymptoms, patience, type Symptom } from '@flex/optim';
import { overwhelming, penaltyWarnings } from './penalty-warnings.ts';
import type { PreparedRun } from './prepare.ts';
import type { StepMetrics } from './run.ts';
import type { UpdateSetup } from './update.ts';

/**
 * What is wrong after an update, in words that say what to change, but for what earlier lines have said: what
 * the optimizer finds, what has lasted for fifty updates, and after the first the penalties that leave
 * nothing to learn.
 */
export async function warningsOf(
  { setup, trainee, plan }: Pick<PreparedRun, 'setup' | 'trainee' | 'plan'>,
  line: StepMetrics,
  history: readonly StepMetrics[],
): Promise<{ readonly warnings?: readonly string[] }> {
  const said = new Set(history.flatMap(({ warnings = [] }) => warnings));
  const found = [
    ...(line.step === 1 ? await penaltyWarnings(setup, trainee.params, line, plan.steps) : []),
    ...(setup.optimizer.health?.(line, history) ?? []),
    ...lastingSymptoms(symptomsOf(setup), line, history),
  ];
  const warnings = found.filter((words) => !said.has(words));
  return warnings.length > 0 ? { warnings } : {};
}

function symptomsOf({ maxGradNorm, regularizers }: UpdateSetup): Symptom[] {
  const clipped: Symptom[] = maxGradNorm === null ? [] : [leastLeft(maxGradNorm)];
  const drowning = regularizers
    .filter(({ enters, lambda }) => enters === 'loss' && lambda > 0)
    .map(({ label, title }) => ({
      words:
        `${title}: its gradient was ${overwhelming} times the task's or more in each of ` +
        `${patience} updates: little else is learnt; lower its lambda`,
      holds: (of: (column: string) => number) => {
        const pull = of(`penalty_grad_norm.${label}`);
        return pull > 0 && pull >= overwhelming * of('task_grad_norm');
      },
    }));
  return [...clipped, ...drowning];
}

function leastLeft(maxGradNorm: number): Symptom {
  return {
    words:
      `clipping left less than 1 % of the gradient in each of ${patience} updates, grad_norm being over 100 times ` +
      `train.max_grad_norm, ${maxGradNorm}: every step is of one length, whatever its gradient; raise ` +
      'train.max_grad_norm, or lower the lambda of a regularizer whose penalty_grad_norm is above task_grad_norm',
    holds: (of) => maxGradNorm / of('grad_norm') < 0.01,
  };
}
