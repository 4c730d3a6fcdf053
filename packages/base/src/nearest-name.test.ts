import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nearestName, nearestNames } from './nearest-name.ts';

describe('the nearest name', () => {
  test.each([
    ['lrr', 'lr'],
    ['bacth_size', 'batch_size'],
    ['Dropout', 'dropout'],
    ['warmup', undefined],
    ['lambda', 'lambda'],
    ['', undefined],
  ])('to %j is %s', (word, name) => {
    expect(nearestName(word, ['lr', 'lambda', 'dropout', 'batch_size', 'warmup_steps'])).toBe(name);
  });

  test('is the earlier of two that are as near', () => {
    expect(nearestName('bat', ['cat', 'rat'])).toBe('cat');
  });

  test('to anything is none of none', () => {
    expect(nearestName('lr', [])).toBeUndefined();
  });
});

test('the nearest name to one of megabytes, or among megabytes, is found at once', () => {
  const long = 'x'.repeat(3_000_000);
  const started = performance.now();
  expect(nearestName(long, ['lr', `${long}y`, 'lambda'])).toBe(`${long}y`);
  expect(nearestName(`${long}z`, ['lr', 'lambda'])).toBeUndefined();
  expect(nearestName('lambda', [long, 'lamda'])).toBe('lamda');
  expect(nearestNames('lr', Array(100_000).fill('x'.repeat(1000)), 1)).toHaveLength(1);
  expect(performance.now() - started).toBeLessThan(5000);
});

describe('the nearest names', () => {
  test('come nearest first, the earlier of two that are as near, however far', () => {
    const names = ['k_proj', 'gate_proj', 'q_proj', 'v_proj'];
    expect(nearestNames('Q_porj', names, 2)).toEqual(['q_proj', 'k_proj']);
    expect(nearestNames('something else', names, 9)).toHaveLength(4);
  });

  test('begin with the nearest name wherever there is one', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string()), (word, names) => {
        const nearest = nearestName(word, names);
        if (nearest !== undefined) expect(nearestNames(word, names, 1)).toEqual([nearest]);
        if (names.includes(word)) expect(nearest?.toLowerCase()).toBe(word.toLowerCase());
      }),
    );
  });
});
