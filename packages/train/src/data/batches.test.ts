import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunk, collate, type PlanOptions, permutation, planUpdates } from './batches.ts';
import { type Example, UNSCORED } from './encode.ts';

const seed = fc.nat({ max: 0xffffffff });
const options = fc.record({
  batchSize: fc.integer({ min: 1, max: 7 }),
  gradAccumulation: fc.integer({ min: 1, max: 4 }),
  epochs: fc.integer({ min: 1, max: 4 }),
  maxSteps: fc.constant(null),
  shuffle: fc.boolean(),
  seed,
});
const count = fc.integer({ min: 1, max: 60 });

const plain: PlanOptions = {
  batchSize: 4,
  gradAccumulation: 1,
  epochs: 3,
  maxSteps: null,
  shuffle: false,
  seed: 0,
};

function updates(examples: number, chosen: PlanOptions): number[][][] {
  const plan = planUpdates(examples, chosen);
  return Array.from({ length: plan.steps }, (_, i) => plan.batches(i + 1));
}

describe('a permutation', () => {
  test('has every place once', () => {
    fc.assert(
      fc.property(fc.nat({ max: 200 }), seed, fc.nat({ max: 5 }), (n, s, epoch) => {
        const sorted = permutation(n, s, epoch).sort((a, b) => a - b);
        expect(sorted).toEqual(Array.from({ length: n }, (_, i) => i));
      }),
    );
  });

  test('is the same for the same seed and epoch, and another for another', () => {
    fc.assert(
      fc.property(seed, seed, fc.nat({ max: 5 }), (s, other, epoch) => {
        const order = permutation(50, s, epoch);
        expect(permutation(50, s, epoch)).toEqual(order);
        expect(permutation(50, s, epoch + 1)).not.toEqual(order);
        if (other !== s) expect(permutation(50, other, epoch)).not.toEqual(order);
      }),
    );
  });

  test('of seed 0 is what it has always been', () => {
    expect(permutation(8, 0, 0)).toMatchInlineSnapshot(`
      [
        5,
        0,
        1,
        3,
        2,
        4,
        6,
        7,
      ]
    `);
    expect(permutation(8, 0, 1)).toMatchInlineSnapshot(`
      [
        6,
        7,
        3,
        4,
        2,
        5,
        1,
        0,
      ]
    `);
  });

  test('puts each place first about as often', () => {
    const firsts = Array.from({ length: 4000 }, (_, s) => permutation(4, s, 0)[0]);
    for (const place of [0, 1, 2, 3]) {
      const share = firsts.filter((first) => first === place).length / firsts.length;
      expect(share).toBeCloseTo(0.25, 1);
    }
  });
});

describe('a plan', () => {
  test('goes through every example once an epoch', () => {
    fc.assert(
      fc.property(count, options, (n, chosen) => {
        const perEpoch = chunk(
          updates(n, chosen),
          Math.ceil(n / (chosen.batchSize * chosen.gradAccumulation)),
        );
        expect(perEpoch).toHaveLength(chosen.epochs);
        for (const epoch of perEpoch) {
          const seen = epoch.flat(2).sort((a, b) => a - b);
          expect(seen).toEqual(Array.from({ length: n }, (_, i) => i));
        }
      }),
    );
  });

  test('has full batches but at the end of an epoch', () => {
    fc.assert(
      fc.property(count, options, (n, chosen) => {
        const [first] = chunk(updates(n, chosen).flat(), Math.ceil(n / chosen.batchSize));
        const sizes = first.map((batch) => batch.length);
        expect(sizes).toEqual(
          chunk(Array.from({ length: n }), chosen.batchSize).map((batch) => batch.length),
        );
      }),
    );
  });

  test('gives an update the same examples whether or not the ones before it were asked for', () => {
    fc.assert(
      fc.property(count, options, fc.nat(), (n, chosen, any) => {
        const all = updates(n, chosen);
        const step = 1 + (any % all.length);
        expect(planUpdates(n, chosen).batches(step)).toEqual(all[step - 1]);
      }),
    );
  });

  test('without shuffle takes consecutive examples, and the last batch as it comes', () => {
    expect(updates(6, { ...plain, epochs: 1 })).toEqual([[[0, 1, 2, 3]], [[4, 5]]]);
    const accumulated = updates(10, { ...plain, epochs: 1, batchSize: 2, gradAccumulation: 2 });
    expect(accumulated).toEqual([
      [
        [0, 1],
        [2, 3],
      ],
      [
        [4, 5],
        [6, 7],
      ],
      [[8, 9]],
    ]);
  });

  test('of 500 examples, 4 at a time, 3 times over has 375 updates', () => {
    expect(planUpdates(500, plain).steps).toBe(375);
  });

  test('with maxSteps has that many updates, be they fewer or more than its epochs have', () => {
    expect(planUpdates(500, { ...plain, maxSteps: 10 }).steps).toBe(10);
    expect(updates(6, { ...plain, epochs: 1, maxSteps: 3 })[2]).toEqual([[0, 1, 2, 3]]);
  });

  test('counts epochs by examples, and is at a whole number after each', () => {
    const { epochAfter } = planUpdates(10, plain);
    expect([1, 2, 3, 4, 6].map(epochAfter)).toEqual([0.4, 0.8, 1, 1.4, 2]);
  });
});

describe('a batch', () => {
  const example = fc.array(fc.nat({ max: 99 }), { minLength: 1, maxLength: 9 }).map((ids): Example => {
    return { input_ids: Int32Array.from(ids), labels: Int32Array.from(ids), rows: ['rows:1'] };
  });

  test('holds each example, filled up on the right with tokens that are not scored', () => {
    fc.assert(
      fc.property(fc.array(example, { minLength: 1, maxLength: 6 }), (examples) => {
        const { b, t, input_ids, labels, lengths, tokens } = collate(examples);
        expect([b, input_ids.length, labels.length]).toEqual([examples.length, b * t, b * t]);
        expect(t).toBe(Math.max(...lengths));
        expect(tokens).toBe(lengths.reduce((sum, length) => sum + length, 0));
        for (const [i, { input_ids: ids }] of examples.entries()) {
          const [start, end] = [i * t, i * t + lengths[i]];
          expect(lengths[i]).toBe(ids.length);
          expect(input_ids.slice(start, end)).toEqual(ids);
          expect(labels.slice(start, end)).toEqual(ids);
          expect(input_ids.slice(end, start + t).every((id) => id === 0)).toBe(true);
          expect(labels.slice(end, start + t).every((label) => label === UNSCORED)).toBe(true);
        }
      }),
    );
  });
});
