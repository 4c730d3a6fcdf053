import { describe, expect, test } from 'vitest';
import { cast, DTypeError, float16BitsToFloat32, tensor, tensorFromChunks, toFloat16Bits } from '../index.ts';
import { describeEachBackend, deviceBackends, referenceBackend } from '../testing/index.ts';

const everyPattern = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
const everyHalf = float16BitsToFloat32(everyPattern);

/** The f32 number `ulps` f32 numbers away from x, away from zero. */
function beside(x: number, ulps: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] += ulps;
  return new Float32Array(bits.buffer)[0];
}

/** Every f16, the middle between it and the next one (a tie), and the f32 numbers next to that middle. */
const hardNumbers = Float32Array.from(
  [...everyHalf].flatMap((h, i) => {
    const next = everyHalf[i + 1];
    if (!Number.isFinite(h)) return [h];
    const step = Number.isFinite(next) ? next - h : Math.sign(h) * 32;
    const middle = h + step / 2;
    return [h, middle, beside(middle, 1), beside(middle, -1)];
  }),
);

describe('cast', () => {
  describeEachBackend((backend) => {
    test('to f16 rounds to nearest even: every f16, every tie, and the neighbours of ties', async () => {
      const rounded = await cast(tensor(backend(), hardNumbers, [hardNumbers.length]), 'f16').data();
      const want = float16BitsToFloat32(toFloat16Bits(hardNumbers));
      expect(rounded.findIndex((x, i) => !Object.is(x, want[i]))).toBe(-1);
    });

    test('every f16 comes through f32 and back unchanged', async () => {
      const halves = tensorFromChunks(backend(), { shape: [1 << 16], dtype: 'f16' }, [everyPattern]);
      const wide = cast(halves, 'f32');
      for (const read of [await wide.data(), await cast(wide, 'f16').data()]) {
        expect(read.findIndex((x, i) => !Object.is(x, everyHalf[i]))).toBe(-1);
      }
    });
  }, deviceBackends);

  test('to f16 does not round on the f64 reference', async () => {
    const x = tensor(await referenceBackend.open(), [0.1], [1]);
    expect(await cast(x, 'f16').item()).toBe(0.1);
  });

  describeEachBackend((backend) => {
    test('i32 becomes f32 exactly up to 2²⁴, and f32 drops its fraction', async () => {
      const whole = [0, -1, 7, 2 ** 24, -(2 ** 24)];
      const wide = cast(tensor(backend(), whole, [5], 'i32'), 'f32');
      expect(wide.dtype).toBe('f32');
      expect(Array.from(await wide.data())).toEqual(whole);
      const parts = tensor(backend(), [-2.9, -0.5, 0.99, 1e6 + 0.5, 3], [5]);
      expect(Array.from(await cast(parts, 'i32').data()).map((x) => x + 0)).toEqual([-2, 0, 0, 1e6, 3]);
    });

    test('refuses other pairs by name, and hands the same type back', () => {
      const whole = tensor(backend(), [1], [1], 'i32');
      expect(cast(whole, 'i32')).toBe(whole);
      expect(() => cast(whole, 'f16')).toThrow(DTypeError);
      expect(() => cast(whole, 'u32')).toThrow(
        'cast: converts f32 to and from f16 and i32, and int8 and nf4 to f32, got i32[1] to u32',
      );
    });
  });
});
