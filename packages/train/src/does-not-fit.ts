import { OutOfMemoryError } from '@flex/tensor';

/**
 * What to throw where a run failed: an OutOfMemoryError with what is saved and what helps, or the error.
 * `recomputesAll`: whether all layers are computed again already.
 */
export function doesNotFit(error: unknown, recomputesAll: boolean, saved: string): unknown {
  if (!(error instanceof OutOfMemoryError)) return error;
  const ways = [
    ...(recomputesAll ? [] : ['train.checkpoint_activations=true (--resume goes on)']),
    'a smaller train.batch_size with more train.grad_accumulation',
    'a smaller data.max_length',
  ];
  const message = `${error.message}; ${saved}. Less is needed with ${ways.join(', or ')}`;
  return new OutOfMemoryError(message, { cause: error });
}
