import { ConfigError } from '@flex/base';
import {
  type AdapterInfo,
  type Backend,
  checked,
  DeviceError,
  findAdapter,
  leastMemory,
  openGpuJs,
  openWasm,
  openWebGpu,
  type WebGpuBackend,
  watched,
  whyNoWasm,
} from '@flex/tensor';
import { type DeviceName, deviceChoices } from './device-names.ts';
import { environment } from './environment.ts';
import { flexCommand } from './flex-command.ts';

export interface DeviceOptions {
  readonly device: string;
  /** Of the CPU engine; left out: one a core. */
  readonly threads?: number;
  /** The most bytes that tensors may take of it; left out: what the device has. */
  readonly memory?: number;
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
 * The device of `--device`; `why` is that of `auto`. Throws ConfigError for another name and for threads where
 * the device has none to choose.
 */
export async function chosenDevice({
  device: name,
  threads,
}: DeviceOptions): Promise<{ readonly device: DeviceName; readonly why: string | null }> {
  if (!isName(name))
    throw new ConfigError(`--device: must be one of ${deviceChoices.join(', ')}, got "${name}"`);
  const choice =
    name === 'auto' ? chooseDevice(await findAdapter(), whyNoWasm()) : { device: name, why: null };
  if (threads !== undefined && choice.device !== 'cpu')
    throw new ConfigError(`--threads: belongs to --device cpu, and this is ${choice.device}`);
  return choice;
}

/**
 * Opens the backend of `--device`; what `auto` takes and why, `say` is told. Throws what `chosenDevice` throws,
 * and DeviceError for a device that is not there.
 */
export async function openBackend(options: DeviceOptions, say: (line: string) => void): Promise<Backend> {
  const { device, why } = await chosenDevice(options);
  const backend = await openDevice(device, options);
  if (why) say(`device: ${backend.description}: ${why} (${flexCommand('doctor')} says more)`);
  return backend;
}

/** Opens a device of this machine. Throws DeviceError where it is not there. */
export async function openDevice(
  device: DeviceName,
  { threads, memory }: Omit<DeviceOptions, 'device'> = {},
): Promise<Backend> {
  const profile = environment.debug >= 2;
  const opened = <B extends Told>(backend: B) => withDebugReport(withLimit(backend, memory));
  if (device === 'webgpu') {
    const gpu = await openWebGpu({ profile, maxBytes: memory });
    return opened(watched(gpu, { flopsPerSecond: gpu.adapter.software ? 1e9 : 1e11 }));
  }
  const noWasm = whyNoWasm();
  if (device === 'gpujs') return opened(openGpuJs(noWasm === null ? 'webasm' : 'cpu'));
  if (noWasm !== null) throw new DeviceError(`cpu: ${noWasm}; take --device gpujs`);
  return opened(openWasm({ threads, profile, maxBytes: memory }));
}

const isName = (name: string): name is (typeof deviceChoices)[number] =>
  (deviceChoices as readonly string[]).includes(name);

/** A backend, which may tell where its time went. */
type Told = Backend & Partial<Pick<WebGpuBackend, 'kernelTimes'>>;

/** The same backend, whose memory is no more than --memory says. */
function withLimit<B extends Backend>(backend: B, bytes: number | undefined): B {
  if (bytes === undefined) return backend;
  return {
    ...backend,
    memory: async () => leastMemory({ bytes, of: '--memory' }, await backend.memory()),
  };
}

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
