import { openWasm } from '@flex/tensor';
import type { TrainConfig } from '../config.ts';
import { type TrainOptions, train } from '../loop.ts';
import type { RunSummary } from '../run.ts';

/** Trains on the CPU, in this process. */
export async function trainOnCpu(
  config: TrainConfig,
  options: Omit<TrainOptions, 'backend'> = {},
): Promise<RunSummary> {
  const backend = openWasm({ threads: 1 });
  try {
    return await train(config, { backend, ...options });
  } finally {
    await backend.close();
  }
}
