import { l2 } from '@flex/peft';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { warningsOf } from './health.ts';
import { makeUpdate } from './make-update.ts';
import type { StepMetrics } from './run.ts';
import { tinyRun } from './testing/tiny-run.ts';

const penalty = (lambda: number) => ({
  label: 'l2',
  title: 'regularizer "l2"',
  lambda,
  enters: 'loss' as const,
  regularizer: l2(),
});

/** The steps at which something is said of a run with these columns, and how often. */
async function said(lines: readonly Partial<StepMetrics>[], maxGradNorm = 1) {
  const run = await tinyRun({ maxGradNorm, regularizers: [penalty(0.1)] });
  const history: StepMetrics[] = [];
  const found: [step: number, words: string][] = [];
  for (const [i, columns] of lines.entries()) {
    // The first update's own warning is of no interest here.
    const line = {
      step: i + 2,
      grad_norm: 1,
      task_grad_norm: 1,
      'penalty_grad_norm.l2': 1,
      ...columns,
    } as StepMetrics;
    const { warnings } = await warningsOf(run, line, history);
    for (const words of warnings ?? []) found.push([i, words]);
    history.push({ ...line, ...(warnings && { warnings }) });
  }
  return found;
}
const times = <T>(n: number, x: T): T[] => Array.from({ length: n }, () => x);
const clipped = { grad_norm: 100.1 };
const drowned = { 'penalty_grad_norm.l2': 10 };

test('a gradient clipped to less than 1 % is told of at the fiftieth update in a row, and once', async () => {
  const [[at, words], ...more] = await said(times(120, clipped));
  expect([at, more]).toEqual([49, []]);
  expect(words).toBe(
    'clipping left less than 1 % of the gradient in each of 50 updates, grad_norm being over 100 times ' +
      'train.max_grad_norm, 1: every step is of one length, whatever its gradient; raise train.max_grad_norm, or ' +
      'lower the lambda of a regularizer whose penalty_grad_norm is above task_grad_norm',
  );
  expect(await said(times(120, { grad_norm: 100 }))).toEqual([]);
  expect(await said(times(120, clipped), 2)).toEqual([]);
});

test('a penalty of ten times the task is told of likewise, by its name', async () => {
  const [[at, words], ...more] = await said(times(60, drowned));
  expect([at, more]).toEqual([49, []]);
  expect(words).toBe(
    'regularizer "l2": its gradient was 10 times the task\'s or more in each of 50 updates: little else is learnt; ' +
      'lower its lambda',
  );
  expect(await said(times(60, { 'penalty_grad_norm.l2': 9.99 }))).toEqual([]);
  expect(await said(times(60, { 'penalty_grad_norm.l2': 0, task_grad_norm: 0 }))).toEqual([]);
});

test('what does not last for fifty updates is not told of, wherever it is interrupted', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 49 }),
      fc.integer({ min: 0, max: 49 }),
      async (before, behind) => {
        const lines = [...times(before, clipped), {}, ...times(behind, clipped)];
        expect(await said(lines)).toEqual([]);
        expect((await said([...lines, ...times(50 - behind, clipped)])).map(([at]) => at)).toEqual([
          before + 50,
        ]);
      },
    ),
    { numRuns: 20 },
  );
});

test('a run whose penalty drowns the loss says so, with its first update and where it lasts', async () => {
  // At a rate of next to none every update is as the first.
  const run = await tinyRun({ maxGradNorm: 1, regularizers: [penalty(1e5)] });
  const history: StepMetrics[] = [];
  const told: [step: number, words: string][] = [];
  for (let step = 1; step <= 51; step++) {
    const line = await makeUpdate({ ...run, schedule: () => 1e-9 }, step);
    const { warnings = [] } = await warningsOf(run, line, history);
    for (const words of warnings) told.push([step, words.slice(0, 30)]);
    history.push({ ...line, warnings });
  }
  expect(told).toEqual([
    [1, 'regularizer "l2": at the start'],
    [50, 'clipping left less than 1 % of'],
    [50, 'regularizer "l2": its gradient'],
  ]);
});
