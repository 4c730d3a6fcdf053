import { ConfigError } from '@flex/base';
import {
  type AdapterInfo,
  type Backend,
  checked,
  DeviceError,
  findAdapter,
  openGpuJs,
  openWasm,
  openWebGpu,
  type WebGpuBackend,
  whyNoWasm,
} from '@flex/tensor';
import { environment } from './environment.ts';
import { flexCommand } from './flex-command.ts';

/** Devices by the names of `--device`, in the order in which `auto` takes them. */
export const devices = ['webgpu', 'cpu', 'gpujs'] as const;
export type DeviceName = (typeof devices)[number];
const names = ['auto', ...devices] as const;

export interface DeviceOptions {
  readonly device: string;
  /** Of the CPU engine; left out: one a core. */
  readonly threads?: number;
}

/** The device that `auto` takes. */
export interface DeviceChoice {
  readonly device: DeviceName;
  readonly why: string;
}

/**
 * What `auto` takes on a machine of this adapter: WebGPU on a GPU, else the CPU engine, else gpu.js where
 * WebAssembly lacks what that needs. Software Vulkan, slower than both, has to be asked for.
 */
export function chooseDevice(
  adapter: Pick<AdapterInfo, 'name' | 'software'> | null,
  noWasm: string | null,
): DeviceChoice {
  if (adapter && !adapter.software) return { device: 'webgpu', why: 'a GPU was found' };
  const noGpu = adapter ? `${adapter.name} is software, not a GPU` : 'no WebGPU adapter was found';
  return noWasm === null
    ? { device: 'cpu', why: noGpu }
    : { device: 'gpujs', why: `${noGpu}, and ${noWasm}` };
}

/**
 * Opens the backend of `--device`; what `auto` takes and why, `say` is told. Throws ConfigError for another name and
 * for threads where the device has none to choose, and DeviceError for a device that is not there.
 */
export async function openBackend(
  { device: name, threads }: DeviceOptions,
  say: (line: string) => void,
): Promise<Backend> {
  if (!isName(name)) throw new ConfigError(`--device: must be one of ${names.join(', ')}, got "${name}"`);
  const { device, why } =
    name === 'auto' ? chooseDevice(await findAdapter(), whyNoWasm()) : { device: name, why: null };
  if (threads !== undefined && device !== 'cpu')
    throw new ConfigError(`--threads: belongs to --device cpu, and this is ${device}`);
  const backend = await openDevice(device, threads);
  if (why) say(`device: ${backend.description}: ${why} (${flexCommand('doctor')} says more)`);
  return backend;
}

/** Opens a device of this machine. Throws DeviceError where it is not there. */
export async function openDevice(device: DeviceName, threads?: number): Promise<Backend> {
  const profile = environment.debug >= 2;
  if (device === 'webgpu') return withDebugReport(await openWebGpu({ profile }));
  const noWasm = whyNoWasm();
  if (device === 'gpujs') return withDebugReport(openGpuJs(noWasm === null ? 'webasm' : 'cpu'));
  if (noWasm !== null) throw new DeviceError(`cpu: ${noWasm}; take --device gpujs`);
  return withDebugReport(openWasm({ threads, profile }));
}

const isName = (name: string): name is (typeof names)[number] => (names as readonly string[]).includes(name);

/** A backend, which may tell where its time went. */
type Told = Backend & Partial<Pick<WebGpuBackend, 'kernelTimes'>>;

/** With FLEX_DEBUG, the backend looks at indices, and tells what it did when it is closed. */
function withDebugReport(backend: Told): Backend {
  if (environment.debug < 1) return backend;
  const close = async () => {
    const { pipelines, dispatches, peakBytes, reservedBytes } = backend.stats;
    const lines = [
      `${backend.description}: ${pipelines} kernels compiled, ${dispatches} dispatches, ` +
        `${peakBytes} bytes at most, ${reservedBytes} reserved`,
      ...((await backend.kernelTimes?.()) ?? []).map(
        ({ name, count, milliseconds }) => `${milliseconds.toFixed(1).padStart(10)} ms ${count} × ${name}`,
      ),
    ];
    for (const line of lines) process.stderr.write(`${line}\n`);
    await backend.close();
  };
  return checked({ ...backend, close });
}
