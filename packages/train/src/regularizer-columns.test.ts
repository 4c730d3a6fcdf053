import { grad } from '@flex/autograd';
import { dctPenalty, flattenAdapters, fourier, l2 } from '@flex/peft';
import { add, mul, neg, openReference, sum, type Tensor } from '@flex/tensor';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeUpdate } from './make-update.ts';
import { tinyRun } from './testing/tiny-run.ts';
import { taskGradient, type WeightedRegularizer } from './update.ts';

const backend = openReference();
const kinds = { fourier: fourier(), l2: l2(), dct: dctPenalty({ phiHigh: 0.3 }) };
type Kind = keyof typeof kinds;

/** A regularizer of each kind, or of some, that pulls as strongly as λ says, either way. */
const chosen = fc.uniqueArray(
  fc.record({
    label: fc.constantFrom<Kind>('fourier', 'l2', 'dct'),
    lambda: fc.oneof(fc.constant(0), fc.double({ min: 1e-4, max: 30, noNaN: true })),
    enters: fc.constantFrom('loss' as const, 'decoupled' as const),
  }),
  { selector: ({ label }) => label, maxLength: 3 },
);
type Choice = Pick<WeightedRegularizer, 'lambda' | 'enters'> & { readonly label: Kind };
const weighted = (all: readonly Choice[]) =>
  all.map((one): WeightedRegularizer => ({ ...one, title: one.label, regularizer: kinds[one.label] }));

/** The task's gradient at the start. */
async function taskGrads() {
  const { setup, trainee, batches } = await tinyRun({}, { backend });
  const { grads } = taskGradient(setup, { ...trainee, batches: batches(), step: 1 });
  return { adapters: trainee.params, grads };
}
/** All gradients at the start, in f64: of the task and of each kind, one number after the other. */
async function gradients() {
  const { adapters, grads } = await taskGrads();
  const numbers = async (tensors: ReadonlyMap<string, Tensor>) =>
    (await Promise.all([...tensors.values()].map(async (t) => [...(await t.data())]))).flat();
  const of = (kind: Kind) => numbers(flattenAdapters(grad((at) => kinds[kind].penalty(at, 1), adapters)));
  return {
    task: await numbers(grads),
    fourier: await of('fourier'),
    l2: await of('l2'),
    dct: await of('dct'),
  };
}
const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, a, i) => sum + a * y[i], 0);

/** The line of the first update of a run with these regularizers. */
const lineOf = async (regularizers: readonly WeightedRegularizer[]) =>
  makeUpdate(await tinyRun({ regularizers }, { backend }), 1);

test('columns are the norms and shares of the gradients, and shares and that of the task are 1', async () => {
  const own = await gradients();
  await fc.assert(
    fc.asyncProperty(chosen, async (all) => {
      const line = await lineOf(weighted(all));
      const joining = all.filter(({ enters }) => enters === 'loss');
      const g = own.task.map((x, i) =>
        joining.reduce((sum, { label, lambda }) => sum + lambda * own[label][i], x),
      );
      expect(line.task_grad_norm).toBeCloseTo(Math.sqrt(dot(own.task, own.task)), 9);
      expect(line.grad_norm).toBeCloseTo(Math.sqrt(dot(g, g)), 8);
      let shares = dot(own.task, g) / dot(g, g);
      for (const { label, lambda, enters } of all) {
        const pull = own[label].map((x) => lambda * x);
        expect(line[`penalty_grad_norm.${label}`]).toBeCloseTo(Math.sqrt(dot(pull, pull)), 8);
        expect(line[`weighted_penalty.${label}`]).toBe(lambda * Number(line[`penalty.${label}`]));
        const share = line[`penalty_grad_share.${label}`];
        if (enters === 'decoupled') expect(share).toBeUndefined();
        else {
          expect(share).toBeCloseTo(dot(pull, g) / dot(g, g), 8);
          shares += Number(share);
        }
      }
      expect(shares).toBeCloseTo(1, 9);
    }),
    { numRuns: 25 },
  );
});

test('a penalty that takes a quarter of the task away has a share of −1/3', async () => {
  const { grads } = await taskGrads();
  const against: WeightedRegularizer = {
    label: 'against',
    title: 'against',
    lambda: 0.25,
    enters: 'loss',
    regularizer: {
      penalty: (adapters) =>
        [...flattenAdapters(adapters)]
          .map(([name, w]) => sum(mul(neg(grads.get(name)!), w)))
          .reduce((total, part) => add(total, part)),
    },
  };
  const line = await lineOf([against]);
  expect(line['penalty_grad_share.against']).toBeCloseTo(-1 / 3, 12);
  expect(Number(line['penalty_grad_norm.against']) / line.task_grad_norm).toBeCloseTo(1 / 4, 12);
});

test('the columns of several are those of each alone, but for their shares; penalty is the sum', async () => {
  await fc.assert(
    fc.asyncProperty(chosen, async (all) => {
      const together = await lineOf(weighted(all));
      let sum = 0;
      for (const one of weighted(all)) {
        const alone = await lineOf([one]);
        for (const key of ['penalty', 'weighted_penalty', 'penalty_grad_norm']) {
          expect(together[`${key}.${one.label}`], key).toBe(alone[`${key}.${one.label}`]);
        }
        expect(alone.penalty).toBe(alone[`penalty.${one.label}`]);
        expect(together.task_grad_norm).toBe(alone.task_grad_norm);
        sum += alone.penalty;
      }
      expect(together.penalty).toBeCloseTo(sum, 12);
    }),
    { numRuns: 15 },
  );
});
