import { ConfigError } from '@flex/base';
import { describe, expect, test } from 'vitest';
import { dropout, type Tensor, tensor } from '../index.ts';
import { describeEachBackend, deviceBackends, referenceBackend } from '../testing/index.ts';
import { lastGradients } from '../testing/last-gradients.ts';

const n = 40_001;
const options = { rate: 0.1, key: [7, 0xfffffff0], counter: [3, 4] } as const;
const ones = new Float32Array(n).fill(1);

const maskOf = async (dropped: Tensor) => Array.from(await dropped.data(), (x) => x !== 0);

describe('dropout', () => {
  describeEachBackend((backend) => {
    test('drops the same elements as the reference', async () => {
      const here = await maskOf(dropout(tensor(backend(), ones, [n]), options));
      const there = await maskOf(dropout(tensor(await referenceBackend.open(), ones, [n]), options));
      expect(here.findIndex((kept, i) => kept !== there[i])).toBe(-1);
    });
  }, deviceBackends);

  describeEachBackend((backend) => {
    const x = () => tensor(backend(), ones, [n]);

    test('drops its rate of the elements, and scales the others so that the mean stays', async () => {
      const data = Array.from(await dropout(x(), options).data());
      const kept = data.filter((v) => v !== 0);
      // Five standard deviations of a binomial count.
      expect(Math.abs(n - kept.length - 0.1 * n)).toBeLessThan(5 * Math.sqrt(0.09 * n));
      expect(kept.every((v) => Math.abs(v - 1 / 0.9) < 1e-6)).toBe(true);
    });

    test('another counter, or another key, drops other elements, and independently', async () => {
      const mask = await maskOf(dropout(x(), options));
      const others = [
        { counter: [4, 4] },
        { counter: [3, 5] },
        { key: [8, 0xfffffff0] },
        { key: [7, 1] },
      ] as const;
      for (const other of others) {
        const there = await maskOf(dropout(x(), { ...options, ...other }));
        const both = mask.filter((kept, i) => !kept && !there[i]).length;
        expect(Math.abs(both - 0.01 * n)).toBeLessThan(5 * Math.sqrt(0.01 * n));
      }
    });

    test('keeps u ≥ rate and drops u < rate, to the last of 32 bits', async () => {
      const first = 0x6627e8d5; // the first word of key 0 and counter 0
      const one = tensor(backend(), [1], [1]);
      const zeros = { key: [0, 0], counter: [0, 0] } as const;
      expect(await dropout(one, { ...zeros, rate: first * 2 ** -32 }).item()).toBeGreaterThan(0);
      expect(await dropout(one, { ...zeros, rate: (first + 1) * 2 ** -32 }).item()).toBe(0);
      expect(await dropout(one, { ...zeros, rate: 1 - 2 ** -40 }).item()).toBe(0);
    });

    test('its gradient goes through the same elements', async () => {
      const g = x();
      const dropped = Array.from(await dropout(g, options).data());
      expect(await lastGradients(() => dropout(x(), options), g)).toEqual([dropped]);
    });

    test('rate 0 gives x itself, and a rate outside [0, 1) is refused by name', () => {
      const one = tensor(backend(), [1], [1]);
      expect(dropout(one, { ...options, rate: 0 })).toBe(one);
      expect(() => dropout(one, { ...options, rate: -0.1 })).toThrow(ConfigError);
      expect(() => dropout(one, { ...options, rate: Number.NaN })).toThrow(ConfigError);
      expect(() => dropout(one, { ...options, rate: 1 })).toThrow('dropout: rate must be in [0, 1), got 1');
    });
  });
});
