import { describe, expect, test } from 'vitest';
import { nearest } from './nearest.ts';

describe('the nearest name', () => {
  test.each([
    ['lrr', 'lr'],
    ['bacth_size', 'batch_size'],
    ['Dropout', 'dropout'],
    ['warmup', undefined],
    ['lambda', 'lambda'],
  ])('to %s is %s', (word, name) => {
    expect(nearest(word, ['lr', 'lambda', 'dropout', 'batch_size', 'warmup_steps'])).toBe(name);
  });

  test('is the earlier of two that are as near', () => {
    expect(nearest('bat', ['cat', 'rat'])).toBe('cat');
  });

  test('to anything is none of none', () => {
    expect(nearest('lr', [])).toBeUndefined();
  });
});
