import type { Op } from '@flex/tensor/kernel';
import { checkForward } from '@flex/tensor/testing';
import { checkGradient } from './check-gradient.ts';

/**
 * Registers all tests that an op must pass: its results against the f64 reference on every backend of this
 * machine, and its gradient and the gradient of that against differences. Call it in a Vitest file.
 */
export function checkOp<A extends object>(op: Op<A>): void {
  checkForward(op);
  checkGradient(op);
}
