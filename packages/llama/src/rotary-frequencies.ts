import type { Rope, RopeScaling } from './rope.ts';

const f32 = Math.fround;

/** Whether the frequencies of a text depend on its length. */
export const dependOnLength = (scaling: RopeScaling | null): boolean =>
  scaling?.type === 'dynamic' || scaling?.type === 'longrope';

/** What cos and sin are multiplied by. */
export const attentionFactor = (scaling: RopeScaling | null): number =>
  scaling && 'attentionFactor' in scaling ? scaling.attentionFactor : 1;

/**
 * Rotary frequencies of a text of `length` tokens in radians a token, f32 [headDim / 2]: fᵢ = θ^(−2i / d),
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
 *
 * NUMERICS: each operation is rounded to f32 where transformers rounds it, in its order, and each power to
 * the nearest f32 (torch's own are off by a bit now and then).
 */
export function inverseFrequencies(rope: Rope & { readonly headDim: number }, length = 1): Float32Array {
  const { headDim, ropeTheta, ropeScaling: scaling } = rope;
  const powers = (theta: number) =>
    Float32Array.from({ length: headDim / 2 }, (_, i) => f32(theta) ** f32((2 * i) / headDim));
  const plain = powers(ropeTheta);
  switch (scaling?.type) {
    case undefined:
      return plain.map((p) => 1 / p);
    case 'linear':
      return plain.map((p) => f32(1 / p) / f32(scaling.factor));
    case 'dynamic': {
      const { factor, originalMaxPositions: c } = scaling;
      if (length <= c) return plain.map((p) => 1 / p);
      const stretch = f32(f32(f32(f32(factor) * length) / c) - f32(factor - 1));
      const theta = f32(f32(ropeTheta) * f32(stretch ** (headDim / (headDim - 2))));
      return powers(theta).map((p) => 1 / p);
    }
    case 'yarn': {
      const { factor, betaFast, betaSlow, truncate, originalMaxPositions } = scaling;
      const pairTurning = (turns: number) =>
        (headDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
      const [fast, slow] = [pairTurning(betaFast), pairTurning(betaSlow)];
      const first = Math.max(0, truncate ? Math.floor(fast) : fast);
      const end = Math.min(headDim - 1, truncate ? Math.ceil(slow) : slow);
      const last = end === first ? end + 0.001 : end;
      return plain.map((p, i) => {
        const kept = f32(1 - Math.min(1, Math.max(0, f32(f32(i - f32(first)) / f32(last - first)))));
        const divided = f32(1 / f32(f32(factor) * p));
        return f32(divided * f32(1 - kept)) + f32(f32(1 / p) * kept);
      });
    }
    case 'longrope': {
      const { shortFactors, longFactors, originalMaxPositions } = scaling;
      const factors = length > originalMaxPositions ? longFactors : shortFactors;
      return plain.map((p, i) => 1 / f32(f32(factors[i]) * p));
    }
    case 'llama3': {
      const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: c } = scaling;
      return plain.map((p) => {
        const f = f32(1 / p);
        const wavelength = f32(f32(1 / f) * f32(2 * Math.PI));
        if (wavelength > f32(c / low)) return f / f32(factor);
        if (wavelength < f32(c / high)) return f;
        const s = f32(f32(f32(f32(1 / wavelength) * c) - f32(low)) / f32(high - low));
        return f32(f32(f32(1 - s) * f) / f32(factor)) + f32(s * f);
      });
    }
  }
}
