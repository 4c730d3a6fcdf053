import { expect, test } from 'vitest';
import { boundedPattern } from './bounded-pattern.ts';
import { pythonPattern } from './python-pattern.ts';
import { matcher } from './targets.ts';

test('a pattern matches as it does by itself', () => {
  const pattern = boundedPattern(/^layers\.(?<n>\d+)/u);
  expect(pattern.exec('layers.12.mlp')?.groups?.n).toBe('12');
  expect(pattern.test('mlp')).toBe(false);
});

test('patterns of an adapter and of a configuration that would never end are refused after two seconds', () => {
  const path = 'model.layers.11.self_attn.q_proj_of_a_model_with_long_names';
  const started = performance.now();
  const never = /^the pattern .* takes more than 2 s; write a simpler one$/;
  expect(() => pythonPattern('(.+)+!', 'fullmatch').test(path)).toThrow(never);
  expect(() => matcher(`${'*_'.repeat(3)}${'*'.repeat(60)}!`)(path)).toThrow(never);
  expect(performance.now() - started).toBeLessThan(8000);
});
