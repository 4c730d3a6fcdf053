import * as z from 'zod';

/** x·σ(x), x·Φ(x), or the latter's approximation by tanh. */
export type Activation = 'silu' | 'gelu' | 'gelu_tanh';

/** transformers' names of the activations. */
const activations = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_python_tanh: 'gelu_tanh',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
} as const satisfies Readonly<Record<string, Activation>>;

const names = Object.keys(activations) as (keyof typeof activations)[];

/** `hidden_act`. */
export const activation = z
  .enum(names, `must be one of ${names.join(', ')}`)
  .transform((name) => activations[name]);
