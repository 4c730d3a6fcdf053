import { ConfigError } from '@flex/base';
import { type BeamOptions, checkBeams, checkSampling as checkRanges, type SampleOptions } from '@flex/llama';

/** How tokens are chosen. */
export interface SamplingOptions extends SampleOptions, BeamOptions {
  readonly maxNewTokens: number;
}

/** Throws ConfigError for options that would have no effect or are out of range. */
export function checkSampling(options: SamplingOptions): void {
  const { numBeams, temperature, topK, topP, minP, maxNewTokens, lengthPenalty, earlyStopping } = options;
  checkBeams(options);
  checkRanges(options);
  if (maxNewTokens < 1) throw new ConfigError(`--max-new-tokens: must be at least 1, got ${maxNewTokens}`);
  if (temperature === 0 && [topK, topP, minP].some((value) => value !== undefined)) {
    throw new ConfigError(
      '--top-k, --top-p and --min-p: need --temperature above 0; at 0 the likeliest token is taken',
    );
  }
  if (numBeams === 1 && (lengthPenalty !== undefined || earlyStopping !== undefined))
    throw new ConfigError('--length-penalty and --early-stopping: need --num-beams above 1');
}
