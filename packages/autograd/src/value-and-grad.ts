import { scope } from '@flex/tensor';
import type { Value } from './pullback.ts';
import type { Tree } from './tree.ts';
import { vjp } from './vjp.ts';

/**
 * f(params), one number or `[number, …aux]`, and its gradient: a tree of the structure of params, zeros where
 * f does not depend on a tensor. Throws what `vjp` throws, and ShapeError where f gives more than one number.
 */
export function valueAndGrad<const P extends Tree, R extends Value>(
  f: (params: P) => R,
  params: P,
): { readonly value: R; readonly grads: P } {
  return vjp(f, params);
}

/** The gradient of f at params, as `valueAndGrad` gives it. */
export function grad<const P extends Tree>(f: (params: P) => Value, params: P): P {
  return scope(() => vjp(f, params).grads);
}
