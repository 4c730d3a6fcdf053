import { type Backend, openGpuJs, openWasm, openWebGpu } from '@flex/tensor';
import type { Options } from './harness.ts';

export const devices = ['cpu', 'webgpu', 'gpujs'] as const;

/** The backend that `--device` names; `--threads` is how many the CPU engine has, one a core if left out. */
export async function openDevice({ device, threads }: Options): Promise<Backend> {
  if (device === 'cpu') return openWasm(threads ? { threads: Number(threads) } : {});
  if (device === 'webgpu') return openWebGpu();
  if (device === 'gpujs') return openGpuJs();
  throw new Error(`--device ${device}: one of ${devices.join(', ')}`);
}
