import { join } from 'node:path';
import { type Backend, ordinaryCard } from '@flex/tensor';
import { expect, test } from 'vitest';
import { requireRoom } from './require-room.ts';
import { flex } from './testing/flex.ts';

const micro = join(import.meta.dirname, '../assets/micro');
const mib = 2 ** 20;

const card = (bytes: number | null): Pick<Backend, 'counted' | 'memory'> => ({
  counted: ordinaryCard,
  memory: async () => (bytes === null ? null : { bytes, of: 'nvidia-smi' }),
});
const texts = { rows: 8, prompt: 100, length: 512, batched: true };

test.each([
  [
    10,
    'f16',
    texts,
    /takes 20 MiB, and there are 10 MiB \(nvidia-smi\) \(weights 3 MiB, .*--batch-size 2 \(8 MiB\)$/,
  ],
  [12, 'f32', texts, /; it would fit with --batch-size 1 \(11 MiB\)$/],
  [8, 'f32', { ...texts, rows: 1 }, /fit with --dtype f16 \(\d MiB\), or --quantize nf4 \(\d MiB\)$/],
  [3, 'f16', { ...texts, rows: 4, batched: false }, /; it needs fewer tokens or beams, a smaller model, /],
] as const)('%i MiB, %s: refused in a line that says what would fit', async (amount, dtype, texts, line) => {
  await expect(requireRoom(card(amount * mib), micro, { dtype }, texts)).rejects.toThrow(line);
});

test('what fits, and what nobody knows the limit of, is not refused', async () => {
  await requireRoom(card(21 * mib), micro, { dtype: 'f16' }, texts);
  await requireRoom(card(null), micro, { dtype: 'f32' }, texts);
});

test('flex generate says so with exit code 2, on every device that is given a limit', async () => {
  for (const device of ['cpu', 'gpujs']) {
    const { code, stderr } = await flex(
      ...['generate', '--model', micro, '--prompt', 'def', '--device', device, '--memory', '1MB'],
    );
    expect([code, stderr]).toEqual([2, expect.stringContaining('memory: decoding takes ')]);
  }
});
