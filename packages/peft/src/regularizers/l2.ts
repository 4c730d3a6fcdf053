import { definePart } from '@flex/base';
import { add, scope, square, sum, type Tensor } from '@flex/tensor';
import { z } from 'zod';
import type { Regularizer } from '../regularizer.ts';
import { type SignalGroup, signalGroups, signalSchema } from './signals.ts';

const eachMatrix = signalSchema.parse({});

/** Σ w² over all elements of all adapter tensors: the control for a penalty that only shrinks them. */
export function l2(): Regularizer {
  return { penalty: (adapters) => scope(() => energyOf(signalGroups(adapters, eachMatrix))) };
}

/** Σ x² over signals: f32 []. */
export function energyOf(groups: readonly SignalGroup[]): Tensor {
  return groups.map(({ signals }) => sum(square(signals))).reduce(add);
}

/** The regularizer `l2` of a run. */
export const l2Part = definePart({ name: 'l2', schema: z.strictObject({}), make: l2 });
