import { DeviceError } from '@flex/tensor';
import { afterEach, expect, test, vi } from 'vitest';
import * as device from './device.ts';
import { measureDevice } from './measure-device.ts';

vi.mock('./device.ts', { spy: true });
afterEach(() => vi.restoreAllMocks());

test('a device is opened, measured in a second or two, and closed', async () => {
  const started = performance.now();
  const found = await measureDevice('cpu');
  expect(found).toMatchObject({ device: 'cpu', missing: null });
  expect(found.description).toMatch(/^cpu \(WebAssembly, /);
  expect(found.product_gflops).toBeGreaterThan(0.01);
  expect(found.product_gflops).toBeLessThan(10_000);
  expect(found.block_milliseconds).toBeGreaterThan(0.1);
  expect(found.block_milliseconds).toBeLessThan(performance.now() - started);
});

test('a device that is not there says why; what is not a missing device is an error', async () => {
  const open = vi.mocked(device.openDevice);
  open.mockRejectedValueOnce(new DeviceError('webgpu: no adapter'));
  expect(await measureDevice('webgpu')).toEqual({
    device: 'webgpu',
    description: null,
    missing: 'webgpu: no adapter',
    product_gflops: null,
    block_milliseconds: null,
  });
  open.mockRejectedValueOnce(new Error('broken'));
  await expect(measureDevice('webgpu')).rejects.toThrow(/^broken$/);
});
