import type { Rope, RopeScaling } from './rope.ts';

/** Whether the frequencies of a text depend on its length. */
export const dependOnLength = (scaling: RopeScaling | null): boolean =>
  scaling?.type === 'dynamic' || scaling?.type === 'longrope';

/** What cos and sin are multiplied by. */
export const attentionFactor = (scaling: RopeScaling | null): number =>
  scaling && 'attentionFactor' in scaling ? scaling.attentionFactor : 1;

/**
 * Rotary frequencies of a text of `length` tokens in radians a token, f64 [headDim / 2]: fᵢ = θ^(−2i / d),
 * where d = headDim (Su et al. 2021, RoFormer, arXiv:2104.09864), or with a scaling, c the context of
 * pretraining, as in transformers' modeling_rope_utils:
 *
 * linear: fᵢ / factor (Chen et al. 2023, position interpolation, arXiv:2306.15595).
 * dynamic: fᵢ of θ·(factor·length / c − (factor − 1))^(d / (d − 2)) for a text longer than c.
 * yarn: fᵢ up to the pair that turns betaFast times in c, fᵢ / factor from the one that turns betaSlow times
 * on, and linear in i between the two (Peng et al. 2023, arXiv:2309.00071).
 * longrope: fᵢ / longFactorsᵢ for a text longer than c, else fᵢ / shortFactorsᵢ (Ding et al. 2024,
 * arXiv:2402.13753).
 * llama3, by the wavelength 2π/f: f where it is shorter than c / highFreqFactor, f / factor where it is
 * longer than c / lowFreqFactor, and between them (1 − s)·f / factor + s·f with s = (c·f / 2π −
 * lowFreqFactor) / (highFreqFactor − lowFreqFactor) (Llama 3.1).
 */
export function inverseFrequencies(rope: Rope & { readonly headDim: number }, length = 1): Float64Array {
  const { headDim, ropeTheta, ropeScaling: scaling } = rope;
  const frequencies = (theta: number) =>
    Float64Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  const plain = frequencies(ropeTheta);
  switch (scaling?.type) {
    case undefined:
      return plain;
    case 'linear':
      return plain.map((f) => f / scaling.factor);
    case 'dynamic': {
      const { factor, originalMaxPositions } = scaling;
      if (length <= originalMaxPositions) return plain;
      const stretch = (factor * length) / originalMaxPositions - (factor - 1);
      return frequencies(ropeTheta * stretch ** (headDim / (headDim - 2)));
    }
    case 'yarn': {
      const { factor, betaFast, betaSlow, truncate, originalMaxPositions } = scaling;
      const pairTurning = (turns: number) =>
        (headDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
      const [fast, slow] = [pairTurning(betaFast), pairTurning(betaSlow)];
      const first = Math.max(0, truncate ? Math.floor(fast) : fast);
      const end = Math.min(headDim - 1, truncate ? Math.ceil(slow) : slow);
      const last = end === first ? end + 0.001 : end;
      return plain.map((f, i) => {
        const s = Math.min(1, Math.max(0, (i - first) / (last - first)));
        return (f / factor) * s + f * (1 - s);
      });
    }
    case 'longrope': {
      const { shortFactors, longFactors, originalMaxPositions } = scaling;
      const factors = length > originalMaxPositions ? longFactors : shortFactors;
      return plain.map((f, i) => f / factors[i]);
    }
    case 'llama3': {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
      return plain.map((f) => {
        const turns = (originalMaxPositions * f) / (2 * Math.PI);
        // Clamped, the blend is also the two ends: s = 1 keeps f, s = 0 divides it.
        const s = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
        return ((1 - s) * f) / factor + s * f;
      });
    }
  }
}
