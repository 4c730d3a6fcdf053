import { openInputFiles } from '@flex/base';
import type { TrainConfig } from '../config.ts';
import { runInputs } from '../run-inputs.ts';

/** As much of a run's manifest.json as tells which run of a configuration it is. */
export async function runManifest(config: TrainConfig): Promise<string> {
  const { inputs, digests } = await runInputs(config, openInputFiles());
  return JSON.stringify({ kind: 'flex-run', digests, provenance: { options: inputs.options } });
}
