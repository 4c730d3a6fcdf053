import { ConfigError } from '@flex/base';

/** How tokens are chosen. */
export interface SamplingOptions {
  readonly numBeams: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly maxNewTokens: number;
}

/** Throws ConfigError for options that would have no effect or are out of range. */
export function checkSampling({ numBeams, temperature, topK, topP, maxNewTokens }: SamplingOptions): void {
  const samples = topK !== undefined || topP !== undefined;
  if (numBeams < 1) throw new ConfigError(`--num-beams: must be at least 1, got ${numBeams}`);
  if (maxNewTokens < 1) throw new ConfigError(`--max-new-tokens: must be at least 1, got ${maxNewTokens}`);
  if (!(temperature >= 0)) throw new ConfigError(`--temperature: must be at least 0, got ${temperature}`);
  if (numBeams > 1 && (temperature > 0 || samples)) {
    throw new ConfigError('--num-beams: above 1 takes no --temperature, --top-k or --top-p');
  }
  if (samples && temperature === 0) {
    throw new ConfigError(
      '--top-k and --top-p: need --temperature above 0; at 0 the likeliest token is taken',
    );
  }
}
