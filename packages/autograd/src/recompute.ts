import { scope } from '@flex/tensor';
import { whileRecomputing } from './tape.ts';

/**
 * f(), of which a gradient keeps nothing but the result: what else it reads is computed again in the backward
 * pass, from what f used. The same bits, for the memory of one value and the price of up to a second forward.
 * Under two recorders, as in Hessian-vector products, all is kept. JAX calls it checkpoint.
 */
export const recompute = <T>(f: () => T): T => whileRecomputing(() => scope(f));
