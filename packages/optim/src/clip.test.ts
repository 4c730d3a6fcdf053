import { ConfigError } from '@flex/base';
import { openReference, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import { expect, it } from 'vitest';
import { clipByGlobalNorm, globalNorm } from './clip.ts';

describeEachBackend((backend) => {
  it('all gradients shrink by one factor when their norm is above the limit, else by none', async () => {
    const grads = new Map([
      ['a', tensor(backend(), [1, 2, 4], [3])],
      ['b', tensor(backend(), [-2, 0, 0, 0], [2, 2])],
    ]);
    expect(await globalNorm(grads).item()).toBeCloseTo(5, 5);
    const clipped = clipByGlobalNorm(grads, 2);
    expect(clipped.norm.shape).toEqual([]);
    expect(await clipped.norm.item()).toBeCloseTo(5, 5);
    const coefficient = 2 / (5 + 1e-6);
    const scaled = (numbers: number[]) => numbers.map((x) => x * coefficient);
    expectClose(await clipped.grads.get('a')!.data(), scaled([1, 2, 4]), 1e-6);
    expectClose(await clipped.grads.get('b')!.data(), scaled([-2, 0, 0, 0]), 1e-6);
    const whole = clipByGlobalNorm(grads, 6);
    expect([...(await whole.grads.get('a')!.data())]).toEqual([1, 2, 4]);
  });

  it('gradients of zero stay zero', async () => {
    const { grads, norm } = clipByGlobalNorm(new Map([['a', tensor(backend(), [0, 0], [2])]]), 1);
    expect(await norm.item()).toBe(0);
    expect([...(await grads.get('a')!.data())]).toEqual([0, 0]);
  });

  it('nothing but what is returned stays in memory', () => {
    const grads = new Map([['a', tensor(backend(), [3, 4], [2])]]);
    const live = backend().stats.liveBytes;
    const clipped = clipByGlobalNorm(grads, 1);
    clipped.norm.dispose();
    for (const t of clipped.grads.values()) t.dispose();
    expect(backend().stats.liveBytes).toBe(live);
  });
});

it('a norm at the limit shrinks by a millionth, as in torch', async () => {
  const { grads } = clipByGlobalNorm(new Map([['a', tensor(openReference(), [3, 4], [2])]]), 5);
  expect((await grads.get('a')?.data())?.[0]).toBeCloseTo(3 * (5 / (5 + 1e-6)), 12);
});

it('no gradients, and a limit that is not above 0, are refused', () => {
  expect(() => globalNorm(new Map())).toThrow(ConfigError);
  const grads = new Map([['a', tensor(openReference(), [1], [1])]]);
  for (const wrong of [0, -1, Number.NaN]) expect(() => clipByGlobalNorm(grads, wrong)).toThrow(ConfigError);
});
