import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantizeQ8 } from './quantize-q8.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('bytes are those that ggml’s own quantization has', () => {
  // gguf 0.19: quants.quantize(np.array([(i * 37 % 101 - 50) / 7 for i in range(64)], 'f4'), Q8_0).
  const values = Float32Array.from({ length: 64 }, (_, i) => (((i * 37) % 101) - 50) / 7);
  expect(hex(quantizeQ8('x', values))).toBe(
    '332b81df3d9af856b41270cd2b89e745a2005ebb1977d53390ee4caa0866c3217fdc' +
      '0e2b3c96f656b0106fca2984e3439efd5db71777d1318beb4ba50565bf1f7fd93993',
  );
  expect(hex(quantizeQ8('x', new Float32Array(32)))).toBe('00'.repeat(34));
});

test('a number is at most half a scale away, and the largest of a block is nearest to ±127', () => {
  const block = fc.array(fc.float({ min: -1e4, max: 1e4, noNaN: true }), { minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(block, (numbers) => {
      const values = Float32Array.from(numbers);
      const bytes = new Int8Array(quantizeQ8('x', values).buffer);
      const scale = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127;
      for (const [i, x] of values.entries()) {
        expect(Math.abs(x - scale * bytes[2 + i])).toBeLessThanOrEqual(scale * (0.5 + 2 ** -16));
      }
    }),
  );
});
