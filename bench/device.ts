import { type Backend, openGpuJs, openWebGpu } from '@flex/tensor';

/** The backend that `--device webgpu|cpu` names. */
export async function openDevice(device: string): Promise<Backend> {
  return device === 'cpu' ? openGpuJs() : await openWebGpu();
}
