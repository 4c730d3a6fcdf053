import { type Backend, ConfigError, findAdapter, openGpuJs, openWebGpu } from '@flex/tensor';

export const deviceNames = ['auto', 'webgpu', 'cpu'] as const;

/**
 * Opens the backend of `--device`. `auto` takes a WebGPU adapter if there is one, else gpu.js, and `say` is told
 * which and why. Throws ConfigError for another name, and DeviceError when `webgpu` is asked for and not there.
 */
export async function openBackend(name: string, say: (line: string) => void): Promise<Backend> {
  if (name === 'webgpu') return openWebGpu();
  if (name === 'cpu') return openGpuJs();
  if (name !== 'auto')
    throw new ConfigError(`--device: must be one of ${deviceNames.join(', ')}, got "${name}"`);
  if (await findAdapter()) {
    const backend = await openWebGpu();
    say(`device: ${backend.description}`);
    return backend;
  }
  const backend = openGpuJs();
  say(`device: ${backend.description}: no WebGPU adapter was found (flex doctor says what to install)`);
  return backend;
}
