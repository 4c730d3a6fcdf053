import { definePart, readOptions } from '@flex/base';
import { concat, reshape, rfft, type Tensor } from '@flex/tensor';
import { z } from 'zod';
import type { Adapters } from '../adapters.ts';
import type { RegularizerContext } from '../regularizer.ts';
import { frequencySchema, rhoAt, rhoKeys } from './frequency-weights.ts';
import { reorder } from './reorder.ts';
import { signalGroups, signalRule, signalSchema, startFor } from './signals.ts';
import { type SpectralRegularizer, spectralPenalty } from './spectral-penalty.ts';

const schema = z
  .strictObject({ ...frequencySchema.pick(rhoKeys).shape, ...signalSchema.shape })
  .refine(...signalRule);

export type DctOptions = z.output<typeof schema>;

/**
 * The DFT, over √(2N), of each row with its mirror image behind it: f32 [rows, N] → f32 [rows, 2·(N + 1)],
 * each bin's real and imaginary part one after the other. X being the orthonormal DCT-II of the row, X_k =
 * √(2/N)·Σ_j x_j·cos(π·(2j + 1)·k/2N) and X_0 = Σ_j x_j/√N, bin k has the power X_k², but bin 0 has 2·X_0²
 * and bin N none.
 */
export function mirrorSpectrum(x: Tensor): Tensor {
  const [rows, n] = x.shape;
  const backwards = Int32Array.from({ length: n }, (_, j) => n - 1 - j);
  return reshape(rfft(concat([x, reorder(x, backwards)], 1), { norm: 'ortho' }), [rows, 2 * (n + 1)]);
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
  const ofParts = (of: (k: number, end: number) => number) => (length: number) =>
    Float64Array.from({ length: 2 * (length + 1) }, (_, i) => {
      const k = i >> 1;
      return k === length ? 0 : of(k, options.threshold * length) / (k === 0 ? 2 : 1);
    });
  return spectralPenalty({
    transform: (adapters) =>
      signalGroups(adapters, options, start).map(({ signals }) => ({
        length: signals.shape[1],
        parts: mirrorSpectrum(signals),
      })),
    costs: ofParts((k, end) => rhoAt(k, end, options)),
    counts: ofParts(() => 1),
    countsBelow: ofParts((k, end) => (k < end ? 1 : 0)),
  });
}

/** The regularizer `dct` of a run. */
export const dctPart = definePart({
  name: 'dct',
  schema,
  make: (options, context: RegularizerContext) => dctPenalty(options, startFor(options, context)),
});
