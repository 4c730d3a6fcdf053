import { afterEach, beforeEach, describe } from 'vitest';
import type { Backend } from '../backend.ts';
import { openGpuJs } from '../backends/gpujs.ts';
import { openReference } from '../backends/reference.ts';
import { openWasm } from '../backends/wasm/wasm.ts';
import { findAdapter, openWebGpu } from '../backends/webgpu/webgpu.ts';

/** A backend that tests run on, by the name the tests show. */
export interface TestBackend {
  readonly label: string;
  /** The backend, opened once a process. Rejects where it cannot be opened. */
  open(): Promise<Backend>;
  /**
   * Rejects when something that ran on it failed; the next `open` then gives a new one, as a failure stays.
   */
  settle(): Promise<void>;
  /** True where the machine lacks what it needs: its tests are listed, and skipped. */
  readonly missing: boolean;
}

const once = (label: string, open: () => Backend | Promise<Backend>, missing = false): TestBackend => {
  let opened: Promise<Backend> | undefined;
  return {
    label,
    missing,
    open() {
      opened ??= Promise.resolve(open());
      return opened;
    },
    async settle() {
      const backend = await opened;
      try {
        await backend?.sync();
      } catch (error) {
        opened = undefined;
        throw error;
      }
    },
  };
};

// FLEX_REQUIRE_GPU=1 runs the tests all the same, so that they fail with the error of a missing adapter.
const withoutAdapter = process.env.FLEX_REQUIRE_GPU !== '1' && (await findAdapter()) === null;

/** The living definition, in f64. */
export const referenceBackend = once('reference', openReference);

/** Software Vulkan or a GPU. */
export const webGpuBackend = once('[webgpu]', () => openWebGpu(), withoutAdapter);

/** The backends that compute in f32. */
export const deviceBackends: readonly TestBackend[] = [
  once('gpu.js cpu', () => openGpuJs('cpu')),
  once('gpu.js webasm', () => openGpuJs('webasm')),
  once('wasm', () => openWasm()),
  webGpuBackend,
];

export const allBackends: readonly TestBackend[] = [referenceBackend, ...deviceBackends];

/**
 * One Vitest suite for each backend, named after it. `f` registers the tests; what it is given returns the
 * backend once they run. Where there is no WebGPU adapter its tests are skipped, or fail with
 * FLEX_REQUIRE_GPU=1.
 */
export function describeEachBackend(
  f: (backend: () => Backend) => void,
  backends: readonly TestBackend[] = allBackends,
): void {
  for (const { label, missing, open, settle } of backends) {
    describe.skipIf(missing)(label, () => {
      let backend: Backend | undefined;
      beforeEach(async () => {
        backend = await open();
      });
      afterEach(settle);
      f(() => backend!);
    });
  }
}
