import { temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawnFrom, factorsOf, keysSet } from './levels.ts';
import type { Values } from './study-schema.ts';
import { tinyBase, tinyStudy } from './testing/tiny-study.ts';

const folder = () => temporaryFolder();
const share = fc.double({ min: 0, max: 1 - Number.EPSILON, noNaN: true });

describe('what is drawn', () => {
  const bounds = fc
    .tuple(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), fc.double({ min: 1e-9, max: 1e9, noNaN: true }))
    .filter(([a, b]) => a !== b)
    .map(([a, b]): [number, number] => (a < b ? [a, b] : [b, a]));

  it('lies within its bounds, has four digits unless it is one, and rises with the share', () => {
    fc.assert(
      fc.property(bounds, share, share, fc.constantFrom('uniform', 'logUniform'), (range, u, v, name) => {
        const values = { [name]: range } as Values;
        const [low, high] = [u, v].sort((a, b) => a - b).map((at) => drawnFrom(values, at) as number);
        expect(low).toBeLessThanOrEqual(high);
        for (const x of [low, high]) {
          expect(x >= range[0] && x <= range[1]).toBe(true);
          expect(range.includes(x) || x === Number(x.toPrecision(4))).toBe(true);
        }
      }),
    );
  });

  it('is each whole number and each value of a list as likely', () => {
    const over = (values: Values) => Array.from({ length: 60 }, (_, i) => drawnFrom(values, (i + 0.5) / 60));
    for (const values of [{ intUniform: [3, 5] } as Values, [3, 4, 5]])
      expect([3, 4, 5].map((n) => over(values).filter((x) => x === n).length)).toEqual([20, 20, 20]);
  });

  it('has known quantiles', () => {
    expect(drawnFrom({ uniform: [1, 3] }, 0.25)).toBe(1.5);
    expect(drawnFrom({ logUniform: [1e-4, 1e-2] }, 0.5)).toBe(1e-3);
    expect(drawnFrom({ intUniform: [1, 8] }, 0.999)).toBe(8);
  });
});

describe('trials', () => {
  const over = { 'optimizer.lr': { log_uniform: [1e-4, 1e-1] }, 'lora.rank': [2, 3, 4] };
  const trials = async (search: object) => {
    const at = folder();
    const [levels] = factorsOf(await tinyStudy({ base: tinyBase(at), search }, at));
    return levels.map((level) => [level.name, keysSet([level])] as const);
  };

  it('are those of fewer and some more, whatever the order of the keys; another seed gives others', async () => {
    const few = await trials({ random: 3, over });
    expect(few.map(([name]) => name)).toEqual(['trial-1', 'trial-2', 'trial-3']);
    expect((await trials({ random: 7, over })).slice(0, 3)).toEqual(few);
    const turned = Object.fromEntries(Object.entries(over).reverse());
    expect(await trials({ random: 3, over: turned })).toEqual(few);
    expect(await trials({ random: 3, seed: 1, over })).not.toEqual(few);
  });

  it('differ, up to all that there are', async () => {
    const lists = { 'lora.rank': [2, 3], 'train.batch_size': { int_uniform: [1, 3] } };
    const drawn = (await trials({ random: 6, over: lists })).map(([, keys]) => JSON.stringify(keys));
    expect(new Set(drawn).size).toBe(6);
  });

  it('are all combinations of lists where none are drawn', async () => {
    const lists = { 'lora.rank': [2, 3], 'train.batch_size': [1, 2] };
    expect(await trials({ over: lists })).toEqual([
      ['rank-2+batch_size-1', { 'lora.rank': 2, 'train.batch_size': 1 }],
      ['rank-2+batch_size-2', { 'lora.rank': 2, 'train.batch_size': 2 }],
      ['rank-3+batch_size-1', { 'lora.rank': 3, 'train.batch_size': 1 }],
      ['rank-3+batch_size-2', { 'lora.rank': 3, 'train.batch_size': 2 }],
    ]);
  });

  it('have, over many draws, the distribution that is asked for', async () => {
    const drawn = await trials({ random: 400, over: { 'optimizer.lr': { log_uniform: [1e-4, 1] } } });
    const logs = drawn.map(([, keys]) => Math.log10(keys['optimizer.lr'] as number));
    const quarters = [0, 1, 2, 3].map((i) => logs.filter((x) => x >= i - 4 && x < i - 3).length);
    // Four standard deviations of a share of a quarter of 400: 35.
    for (const count of quarters) expect(Math.abs(count - 100)).toBeLessThan(35);
  });
});
