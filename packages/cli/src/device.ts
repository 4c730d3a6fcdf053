import { ConfigError } from '@flex/base';
import { type Backend, checked, findAdapter, openGpuJs, openWebGpu, type WebGpuBackend } from '@flex/tensor';
import { environment } from './environment.ts';
import { flexCommand } from './flex-command.ts';

export const deviceNames = ['auto', 'webgpu', 'cpu'] as const;

/**
 * Opens the backend of `--device`. `auto` takes a WebGPU adapter if there is one, else gpu.js, and `say` is told
 * which and why. Throws ConfigError for another name, and DeviceError when `webgpu` is asked for and not there.
 */
export async function openBackend(name: string, say: (line: string) => void): Promise<Backend> {
  if (name === 'webgpu') return openGpu();
  if (name === 'cpu') return withDebugReport(openGpuJs());
  if (name !== 'auto')
    throw new ConfigError(`--device: must be one of ${deviceNames.join(', ')}, got "${name}"`);
  if (await findAdapter()) {
    const backend = await openGpu();
    say(`device: ${backend.description}`);
    return backend;
  }
  const backend = withDebugReport(openGpuJs());
  const cure = `${flexCommand('doctor')} says what to install`;
  say(`device: ${backend.description}: no WebGPU adapter was found (${cure})`);
  return backend;
}

async function openGpu(): Promise<Backend> {
  const backend = await openWebGpu({ profile: environment.debug >= 2 });
  return withDebugReport(backend, () => kernelTable(backend));
}

/** With FLEX_DEBUG, the backend looks at indices, and tells what it did when it is closed. */
function withDebugReport<B extends Backend>(backend: B, more?: () => Promise<string[]>): B {
  if (environment.debug < 1) return backend;
  const close = async () => {
    const { pipelines, dispatches, peakBytes, reservedBytes } = backend.stats;
    const lines = [
      `${backend.description}: ${pipelines} kernels compiled, ${dispatches} dispatches, ` +
        `${peakBytes} bytes at most, ${reservedBytes} reserved`,
      ...((environment.debug >= 2 && (await more?.())) || []),
    ];
    for (const line of lines) process.stderr.write(`${line}\n`);
    await backend.close();
  };
  return checked({ ...backend, close });
}

async function kernelTable(backend: WebGpuBackend): Promise<string[]> {
  const times = await backend.kernelTimes();
  return times.map(
    ({ name, count, milliseconds }) => `${milliseconds.toFixed(1).padStart(10)} ms ${count} × ${name}`,
  );
}
