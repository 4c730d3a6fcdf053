import { innerProduct } from '@flex/autograd';
import { definePart } from '@flex/base';
import { scope } from '@flex/tensor';
import { z } from 'zod';
import type { Regularizer } from '../regularizer.ts';

/** Σ w² over all elements of all adapter tensors: the control for a penalty that only shrinks them. */
export function l2(): Regularizer {
  return { penalty: (adapters) => scope(() => innerProduct(adapters, adapters)) };
}

/** The regularizer `l2` of a run. */
export const l2Part = definePart({ name: 'l2', schema: z.strictObject({}), make: l2 });
