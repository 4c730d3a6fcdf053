import { mkdirSync, writeFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { adapterMemory, amdMemory, leastMemory, mainMemory, nvidiaMemory } from './device-memory.ts';

const mib = 2 ** 20;

test('of what is known the smallest counts, and nothing where nothing is', () => {
  const [a, b] = [
    { bytes: 3, of: 'a' },
    { bytes: 2, of: 'b' },
  ];
  expect([leastMemory(a, null, b), leastMemory(null, a), leastMemory(null), leastMemory()]).toEqual([
    b,
    a,
    null,
    null,
  ]);
  expect(leastMemory(a, { ...a, of: 'later' })).toBe(a);
});

test('main memory is what a process may still have', () => {
  const { bytes, of } = mainMemory();
  expect(of).toBe('main memory');
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(totalmem());
  expect(bytes).toBeLessThanOrEqual(2 * freemem());
});

test.each([
  ['one card', 'NVIDIA H200, 143156\n', 'NVIDIA H200', 143156],
  ['the fuller of two cards of one name', 'NVIDIA A100, 400\nNVIDIA A100, 300\n', 'NVIDIA A100', 300],
  ['the card of the name among others', 'Tesla T4, 100\nNVIDIA A100, 300', 'NVIDIA A100', 300],
  ['a name with a comma', 'Card, mobile, 12\n', 'Card, mobile', 12],
  ['another card alone', 'Tesla T4, 100\n', 'NVIDIA A100', null],
  ['no rows', '', 'NVIDIA A100', null],
  ['words of an error', 'No devices were found\n', 'NVIDIA A100', null],
  ['a card that does not tell', 'NVIDIA A100, [N/A]\n', 'NVIDIA A100', null],
])('nvidia-smi tells of %s', (_, rows, name, free) => {
  expect(nvidiaMemory(rows, name)).toEqual(free === null ? null : { bytes: free * mib, of: 'nvidia-smi' });
});

test("amdgpu's files tell what is free of the largest card, and nothing where they are not", () => {
  const folder = temporaryFolder();
  const card = (name: string, total: number, used: number) => {
    mkdirSync(join(folder, name, 'device'), { recursive: true });
    writeFileSync(join(folder, name, 'device', 'mem_info_vram_total'), `${total}\n`);
    writeFileSync(join(folder, name, 'device', 'mem_info_vram_used'), `${used}\n`);
  };
  expect(amdMemory(folder)).toBeNull();
  expect(amdMemory(join(folder, 'none'))).toBeNull();
  mkdirSync(join(folder, 'card0-HDMI-A-1'));
  card('card0', 500, 100);
  card('card1', 9000, 2000);
  expect(amdMemory(folder)).toEqual({ bytes: 7000, of: 'amdgpu' });
});

test('software takes main memory; of an adapter that nobody knows nobody tells', async () => {
  const adapter = { vendor: 'mesa', name: 'llvmpipe' };
  expect((await adapterMemory({ ...adapter, software: true }))?.of).toBe('main memory');
  expect(await adapterMemory({ vendor: 'qualcomm', name: 'Adreno', software: false })).toBeNull();
});
