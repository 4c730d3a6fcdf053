import { definePart, readOptions } from '@flex/base';
import { dropout, mul, ones, scope, sub, type Tensor } from '@flex/tensor';
import type { Draw, Optimizer } from './optimizer.ts';
import { type SophiaOptions, sophia, sophiaSchema } from './sophia.ts';
import { mapStacks } from './stacks.ts';

// The second word of a random key says what is drawn, so that no two streams of a run meet.
const rademacherStream = 0x4ade;

const schema = sophiaSchema(0.01);

/**
 * Sophia with Hutchinson's estimate ĥ = u⊙(H·u), u of −1 and 1 with equal chances. Its expectation is the
 * diagonal of the Hessian, of which an entry may be negative: there max(γ·h, ε) is ε, and the step that of
 * the sign. Throws ConfigError for options out of range.
 * Source: Liu et al., Sophia, 2023, algorithm 1; Hutchinson 1990.
 */
export function sophiaH(given: Partial<SophiaOptions> = {}): Optimizer {
  return sophia('sophia-h', readOptions(schema, given, 'sophia-h'), (objective, params, draw) =>
    scope(() => {
      const us = new Map([...params].map(([name, p], index) => [name, rademacher(p, draw, index)]));
      return mapStacks([us, objective.hessianProduct(us)], ([u, product]) => mul(u, product));
    }),
  );
}

/** Numbers of −1 and 1 in the shape of a parameter: a mask of dropout's, drawn on the device. */
function rademacher({ backend, shape }: Tensor, { seed, step }: Draw, index: number): Tensor {
  const kept = dropout(ones(backend, shape), {
    rate: 0.5,
    key: [seed, rademacherStream],
    counter: [step, index],
  });
  return sub(kept, 1);
}

/** The optimizer `sophia-h` of a run. */
export const sophiaHPart = definePart({ name: 'sophia-h', schema, make: sophiaH });
