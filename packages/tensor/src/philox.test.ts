import { describe, expect, test } from 'vitest';
import { philox, tensor } from './index.ts';
import { apply, kernel, type Op, philoxWgsl, wide } from './kernel.ts';
import { describeEachBackend, deviceBackends } from './testing/index.ts';

/** Counter, key and words of Salmon et al. 2011, from the known answers that come with Random123. */
const answers = [
  ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
  ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
  ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
].map((row) => row.map((words) => words.split(' ').map((word) => Number.parseInt(word, 16))));

type Words = readonly [number, number, number, number];

function words(counter: readonly number[], key: readonly number[]): number[] {
  const out = new Uint32Array(4);
  philox(out, key as [number, number], counter as unknown as Words);
  return [...out];
}

/** Blocks of four words: counters u32 [n, 4] under one key → u32 [n, 4]. */
const philoxOp: Op<{ key: readonly number[] }> = {
  kind: 'kernel',
  name: 'philox',
  infer: ([counters]) => counters,
  wgsl: ([counters], [out], { key: [k0, k1] }) =>
    kernel({
      name: 'philox',
      in: { counters: wide(counters) },
      out: { out: wide(out) },
      params: { k0, k1 },
      grid: { cells: counters.shape[0] },
      declarations: () => philoxWgsl,
      body: () => '  out[flat] = philox(counters[flat], vec2u(p.k0, p.k1));',
    }),
  host: () => () => {
    throw new Error('philox is compared with the host, not run there');
  },
  vjp: null,
  samples: [],
};

describe('philox', () => {
  test('meets the known answers of its paper', () => {
    for (const [counter, key, want] of answers) expect(words(counter, key)).toEqual(want);
  });

  describeEachBackend(
    (backend) => {
      test('meets the known answers of its paper in WGSL', async () => {
        for (const [counter, key, want] of answers) {
          const got = apply(philoxOp, [tensor(backend(), counter, [1, 4], 'u32')], { key });
          expect(Array.from(await got.data())).toEqual(want);
        }
      });

      test('gives the words of JavaScript in WGSL, for 1000 counters', async () => {
        const key = [0xdeadbeef, 0x12345678];
        const counters = Array.from({ length: 1000 }, (_, i) => words([i, 0, 0, 0], [1, 2]));
        const got = apply(philoxOp, [tensor(backend(), counters.flat(), [1000, 4], 'u32')], { key });
        expect(Array.from(await got.data())).toEqual(counters.flatMap((counter) => words(counter, key)));
      });
    },
    deviceBackends.filter(({ label }) => label === '[webgpu]'),
  );
});
