import { type Backend, gather, keep, type RopeTables, tensor } from '@flex/tensor';
import type { ModelConfig } from './config.ts';
import { attentionFactor, dependOnLength, inverseFrequencies } from './rotary-frequencies.ts';

/**
 * The angles of tokens as a model turns by them: cos and sin of position·frequency, times the attention
 * factor. Where frequencies depend on the length of a text, they are those of the longest in its batch, as
 * in transformers, but for texts that share a row.
 *
 * NUMERICS: frequencies, angles, cos, sin and their products are each rounded to f32, as in transformers: the
 * angle of token 16,000 is then up to 10⁻³ radians from the exact one, and models are trained with it.
 */
export interface Rotary {
  /** Those of a text of so many tokens, [≥ length, d/2]: a row each. */
  rope(length: number): RopeTables;
  /** Those of tokens that stand at `positions`, each in a text of its own length: [positions, d/2]. */
  ropeAt(positions: Int32Array, lengths: Int32Array): RopeTables;
}

/** The angles of a configuration, and what releases the tables that are kept. */
export function newRotary(backend: Backend, config: ModelConfig): Rotary & { dispose(): void } {
  const { ropeScaling, maxPositions } = config;
  const scale = Math.fround(attentionFactor(ropeScaling));
  let kept: RopeTables | undefined;
  /** Those that were too short for a later text, which a tape may still read: together less than twice `kept`. */
  const outgrown: RopeTables[] = [];

  /** Rows of angles, of the frequencies of each length. */
  const tables = (positions: ArrayLike<number>, lengthOf: (row: number) => number): RopeTables => {
    const half = config.headDim / 2;
    const angles = new Float32Array(positions.length * half);
    let length = Number.NaN;
    let frequencies: Float32Array | undefined;
    for (let row = 0; row < positions.length; row++) {
      if (lengthOf(row) !== length) {
        length = lengthOf(row);
        frequencies = inverseFrequencies(config, length);
      }
      for (let i = 0; i < half; i++) angles[row * half + i] = positions[row] * frequencies![i];
    }
    const table = (f: (angle: number) => number) =>
      tensor(
        backend,
        angles.map((angle) => scale * Math.fround(f(angle))),
        [positions.length, half],
      );
    return { cos: table(Math.cos), sin: table(Math.sin) };
  };
  const upTo = (count: number) => Int32Array.from({ length: count }, (_, position) => position);
  const dispose = (): void => {
    for (const { cos, sin } of kept ? [...outgrown, kept] : []) {
      cos.dispose();
      sin.dispose();
    }
  };
  const rope = (length: number): RopeTables => {
    if (dependOnLength(ropeScaling)) return tables(upTo(length), () => length);
    if (!kept || kept.cos.shape[0] < length) {
      const most = length <= maxPositions ? maxPositions : Number.POSITIVE_INFINITY;
      const rows = Math.min(most, Math.max(512, 2 * length));
      if (kept) outgrown.push(kept);
      kept = keep(tables(upTo(rows), () => rows));
    }
    return kept;
  };

  return {
    rope,
    ropeAt(positions, lengths) {
      if (dependOnLength(ropeScaling)) return tables(positions, (row) => lengths[row]);
      const { cos, sin } = rope(positions.reduce((most, position) => Math.max(most, position), 0) + 1);
      const index = tensor(backend, positions, [positions.length], 'i32');
      return { cos: gather(cos, index), sin: gather(sin, index) };
    },
    dispose,
  };
}
