import { arange, type Tensor } from '../tensor.ts';
import { cast } from './cast.ts';
import { equal } from './comparison.ts';
import { reshape } from './reshape.ts';

/**
 * 1 where the last axis equals the label, else 0; a label outside [0, classes) gives zeros. i32 [..] → f32
 * [.., classes], classes ≤ 2²⁴.
 */
export const oneHot = (labels: Tensor, classes: number): Tensor =>
  equal(reshape(cast(labels, 'f32'), [...labels.shape, 1]), arange(labels.backend, classes));
