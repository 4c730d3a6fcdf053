import { definePart, readOptions } from '@flex/base';
import { mul, pad, rfft, slice, sum, type Tensor, tensor } from '@flex/tensor';
import { z } from 'zod';
import type { Adapters } from '../adapters.ts';
import type { RegularizerContext } from '../regularizer.ts';
import { frequencySchema, rhoAt, rhoKeys } from './frequency-weights.ts';
import { signalGroups, signalRule, signalSchema, startFor } from './signals.ts';
import { type SpectralRegularizer, spectralPenalty } from './spectral-penalty.ts';

const schema = z
  .strictObject({ ...frequencySchema.pick(rhoKeys).shape, ...signalSchema.shape })
  .refine(...signalRule);

export type DctOptions = z.output<typeof schema>;

/**
 * The orthonormal DCT-II of each row: X_k = s_k·Σ_j x_j·cos(π·(2j + 1)·k/2N), s_0 = 1/√N, else √(2/N).
 * f32 [rows, N] → f32 [rows, N]. Of the DFT Z of x with N zeros behind it, X_k is s_k·Re(e^(−πi·k/2N)·Z_k).
 */
export function dct(x: Tensor): Tensor {
  const [rows, n] = x.shape;
  const bins = rfft(pad(x, [0, 0], [0, n]));
  const turns = new Float64Array(2 * (n + 1));
  for (let k = 0; k < n; k++) {
    const scale = Math.sqrt((k === 0 ? 1 : 2) / n);
    const angle = (Math.PI * k) / (2 * n);
    turns.set([scale * Math.cos(angle), scale * Math.sin(angle)], 2 * k);
  }
  const turned = mul(bins, tensor(x.backend, turns, [n + 1, 2]));
  return slice(sum(turned, { axes: [-1] }), [0, 0], [rows, n]);
}

/**
 * L = Σ over parameters Σ_k ρ(k)·X_k², X the orthonormal DCT-II of each A and each B flattened, ρ that of the
 * Fourier penalty over all its N frequencies. A DFT takes the signal for a period, so that the jump from its
 * end back to its beginning counts as high frequency; a DCT goes on with its mirror image and sees no jump.
 * White noise costs as with `fourier` and `sides: two`.
 *
 * `start` is the adapter that scope `change` measures from. Throws ConfigError for wrong options.
 * Source: Ahmed, Natarajan, Rao, Discrete cosine transform, 1974.
 */
export function dctPenalty(given: Partial<DctOptions> = {}, start?: Adapters): SpectralRegularizer {
  const options = readOptions(schema, given, 'dct');
  const perBin = (of: (k: number, end: number) => number) => (length: number) =>
    Float64Array.from({ length }, (_, k) => of(k, options.threshold * length));
  return spectralPenalty({
    transform: (adapters) =>
      signalGroups(adapters, options, start).map(({ signals }) => ({
        length: signals.shape[1],
        parts: dct(signals),
      })),
    costs: perBin((k, end) => rhoAt(k, end, options)),
    counts: perBin(() => 1),
    countsBelow: perBin((k, end) => (k < end ? 1 : 0)),
  });
}

/** The regularizer `dct` of a run. */
export const dctPart = definePart({
  name: 'dct',
  schema,
  make: (options, context: RegularizerContext) => dctPenalty(options, startFor(options, context)),
});
