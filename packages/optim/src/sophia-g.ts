import { definePart, readOptions } from '@flex/base';
import { mul, scope, square } from '@flex/tensor';
import type { Optimizer } from './optimizer.ts';
import { type SophiaOptions, sophia, sophiaSchema } from './sophia.ts';
import { mapStacks } from './stacks.ts';

const schema = sophiaSchema(0.05);

/**
 * Sophia with the Gauss-Newton-Bartlett estimate ĥ = B·ĝ⊙ĝ: ĝ is the gradient of the mean loss over the B
 * scored tokens with labels drawn from the model's own softmax. Its expectation is the diagonal of the
 * loss's Gauss-Newton matrix, which is never negative. Throws ConfigError for options out of range.
 * Source: Liu et al., Sophia, 2023, algorithm 2.
 */
export function sophiaG(given: Partial<SophiaOptions> = {}): Optimizer {
  return sophia('sophia-g', readOptions(schema, given, 'sophia-g'), (objective) =>
    scope(() => mapStacks([objective.sampledGradient()], ([g]) => mul(square(g), objective.scoredTokens))),
  );
}

/** The optimizer `sophia-g` of a run. */
export const sophiaGPart = definePart({ name: 'sophia-g', schema, make: sophiaG });
