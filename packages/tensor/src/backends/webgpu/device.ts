import { DeviceError } from '../../errors.ts';
import type { WgslDevice } from '../../op.ts';
import type { AdapterInfo } from './adapter-info.ts';
import { withoutNoise } from './native-stderr.ts';

/** What Dawn is asked for beyond its defaults. */
const dawnOptions = [
  // NVIDIA's f16 and cooperative matrices are hidden without the first two; timings are rounded to 65 µs
  // without the third.
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia',
  'disable-dawn-features=timestamp_quantization',
];

const wantedFeatures = [
  'shader-f16',
  'subgroups',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
];

/** An open device and what is known of the adapter behind it. */
export interface OpenDevice {
  readonly device: GPUDevice;
  readonly info: AdapterInfo;
  readonly wgsl: WgslDevice;
}

let dawn: GPU | undefined;

/** Dawn's entry, loaded when it is asked for. One a process, never collected: Node aborts when it is. */
async function instance(): Promise<GPU> {
  if (!dawn) {
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    dawn ??= create([...dawnOptions]);
  }
  return dawn;
}

/** What Dawn prints of each driver that offers more of something than it can name. */
const isLimitNote = (line: string) => /^Warning: max\w+ artificially reduced from /.test(line);

/** The adapter Dawn would take, or null where there is none. */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  const gpu = await instance();
  return withoutNoise(isLimitNote, () => gpu.requestAdapter({ powerPreference: 'high-performance' }));
}

export function describeAdapter(adapter: GPUAdapter): AdapterInfo {
  const { info, limits } = adapter;
  const numbers: Record<string, number> = {};
  for (const key in limits) {
    const value = (limits as unknown as Record<string, unknown>)[key];
    if (typeof value === 'number') numbers[key] = value;
  }
  return {
    vendor: info.vendor,
    name: info.device || info.architecture,
    driver: info.description,
    software: /llvmpipe|lavapipe|swiftshader/i.test(
      `${info.device} ${info.description} ${info.architecture}`,
    ),
    subgroupSizes: [info.subgroupMinSize ?? 0, info.subgroupMaxSize ?? 0],
    features: [...adapter.features].sort(),
    limits: numbers,
  };
}

/**
 * Opens the adapter with all the limits it has. Throws DeviceError where there is no adapter or it refuses.
 */
export async function openDevice(): Promise<OpenDevice> {
  const adapter = await requestAdapter();
  if (!adapter) {
    throw new DeviceError(
      'webgpu: no adapter; install a Vulkan driver (see flex doctor) or take --device cpu',
    );
  }
  const info = describeAdapter(adapter);
  const device = await adapter.requestDevice({
    requiredFeatures: wantedFeatures.filter((f) => adapter.features.has(f)) as GPUFeatureName[],
    requiredLimits: requestableLimits(adapter),
  });
  const [smallest, largest] = info.subgroupSizes;
  const known = adapter.features.has('subgroups') && smallest === largest;
  return { device, info, wgsl: { subgroupSize: known ? smallest : 0, software: info.software } };
}

/** Without asking, a device gets 256 MiB buffers, 8 of them a kernel, and 16 KiB of workgroup memory. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'minStorageBufferOffsetAlignment',
] as const;

function requestableLimits(adapter: GPUAdapter): Record<string, number> {
  return Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
}

let waiting = 0;
const setImmediateOfNode = globalThis.setImmediate;

/**
 * Awaits a promise of Dawn's without spinning. Dawn polls through setImmediate, tens of thousands of times a
 * second, and takes a core from a software rasteriser; after eight turns each poll waits a millisecond
 * instead.
 */
export async function politely<T>(start: () => Promise<T>): Promise<T> {
  let turns = 0;
  const patient = (f: (...args: unknown[]) => void, ...args: unknown[]) =>
    ++turns > 8 ? setTimeout(f, 1, ...args) : setImmediateOfNode(f, ...args);
  if (waiting++ === 0) globalThis.setImmediate = patient as unknown as typeof setImmediate;
  try {
    return await start();
  } finally {
    if (--waiting === 0) globalThis.setImmediate = setImmediateOfNode;
  }
}
