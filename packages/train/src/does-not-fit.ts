import { OutOfMemoryError } from '@flex/tensor';
import type { TrainConfig } from './config.ts';
import { shouldCheckpoint } from './should-checkpoint.ts';

/** What to throw where a run failed: an OutOfMemoryError with what is saved and what helps, or the error. */
export function doesNotFit(error: unknown, config: TrainConfig, saved: string): unknown {
  if (!(error instanceof OutOfMemoryError)) return error;
  const ways = [
    ...(shouldCheckpoint(config) ? [] : ['train.checkpoint_activations=true (--resume goes on)']),
    'a smaller train.batch_size with more train.grad_accumulation',
    'a smaller data.max_length',
  ];
  const message = `${error.message}; ${saved}. Less is needed with ${ways.join(', or ')}`;
  return new OutOfMemoryError(message, { cause: error });
}
