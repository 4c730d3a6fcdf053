import { afterEach, describe, expect, test, vi } from 'vitest';
import { DeviceError, OutOfMemoryError } from '../../errors.ts';
import { add } from '../../ops/arithmetic.ts';
import { full, keep, scope, tensor } from '../../tensor.ts';
import type { OpenDevice } from './device.ts';
import { findAdapter, openWebGpu } from './webgpu.ts';

/** The device of the backend that was opened last, and from which size on it gives no buffer. */
const opened = vi.hoisted(() => ({ device: null as GPUDevice | null, tooMuch: Number.POSITIVE_INFINITY }));

// A device that has not so much memory: it gives an invalid buffer, and says so to the error scope around.
vi.mock('./device.ts', async (original) => {
  const module = await original<typeof import('./device.ts')>();
  return {
    ...module,
    async openDevice(): Promise<OpenDevice> {
      const made = await module.openDevice();
      const { device } = made;
      const create = device.createBuffer.bind(device);
      const pop = device.popErrorScope.bind(device);
      let missing: Promise<GPUError | null> | null = null;
      device.createBuffer = (descriptor) => {
        if (descriptor.size < opened.tooMuch) return create(descriptor);
        device.pushErrorScope('validation');
        const invalid = create({ ...descriptor, size: 2 * device.limits.maxBufferSize });
        missing = pop();
        return invalid;
      };
      device.popErrorScope = () => {
        const instead = missing;
        missing = null;
        return instead ? pop().then(() => instead) : pop();
      };
      opened.device = device;
      return made;
    },
  };
});

afterEach(() => {
  opened.tooMuch = Number.POSITIVE_INFINITY;
});

const MiB = 2 ** 20;
const withoutAdapter = process.env.FLEX_REQUIRE_GPU !== '1' && (await findAdapter()) === null;

describe.skipIf(withoutAdapter)('a WebGPU device', () => {
  test('that has not the memory says so at the next read, and goes on with what it had', async () => {
    const backend = await openWebGpu();
    const x = keep(tensor(backend, [1, 2, 3, 4], [4]));
    const small = scope(() => add(full(backend, [MiB], 1), full(backend, [MiB], 2)));
    await backend.sync();
    opened.tooMuch = 32 * MiB;
    const large = () => scope(() => add(full(backend, [16 * MiB], 1), full(backend, [16 * MiB], 2)));
    const made = keep(large());
    await expect(made.data()).rejects.toThrow(OutOfMemoryError);
    made.dispose();
    expect([...(await add(x, x).data())]).toEqual([2, 4, 6, 8]);
    expect((await small.data())[MiB - 1]).toBe(3);
    // It has learnt how much there is, and says it at once.
    expect(large).toThrow(/^webgpu: f32\[16777216\] needs 64 MiB; \d+ of \d+ MiB are in use$/);
    expect(backend.stats.reservedBytes).toBeLessThan(32 * MiB);
    await backend.close();
  });

  test('that is lost says so to every call, and is closed all the same', async () => {
    const backend = await openWebGpu();
    const x = keep(tensor(backend, [1, 2, 3, 4], [4]));
    opened.device!.destroy();
    await expect(x.data()).rejects.toThrow(DeviceError);
    await expect(x.data()).rejects.toThrow(/^webgpu: .+$/);
    expect(() => add(x, x)).toThrow(DeviceError);
    await backend.close();
  });

  test('takes no more than it is allowed, and gives back before it refuses', async () => {
    const backend = await openWebGpu({ maxBytes: 16 * MiB });
    for (const size of [MiB, 2 * MiB, 3 * MiB]) scope(() => void full(backend, [size], 1));
    expect(backend.stats.reservedBytes).toBe(12 * MiB);
    expect(() => full(backend, [4 * MiB + 64], 1)).toThrow(OutOfMemoryError);
    await backend.sync();
    await backend.close();
  });
});
