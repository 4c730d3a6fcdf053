import { type Backend, type Bits, type DeviceBuffer, newStats, outputBuffers } from '../../backend.ts';
import type { Immediate, Kernel } from '../../kernel-record.ts';
import { numbersOf } from '../../numbers-of.ts';
import { flopsOf, type HostArray } from '../../op.ts';
import { bytesOf, bytesPerElement, type DType, type Spec, show, size } from '../../shape.ts';
import { adapterMemory } from '../device-memory.ts';
import type { AdapterInfo, KernelTime } from './adapter-info.ts';
import { maxTensorBytes, requireBindable } from './bindings.ts';
import { describeAdapter, openDevice, politely, requestAdapter } from './device.ts';
import { Faults } from './faults.ts';
import { BufferPool, type PooledBuffer as Pooled, paddedBytes } from './pool.ts';
import { Profiler } from './profiler.ts';
import { Reads } from './reads.ts';

export type { AdapterInfo, KernelTime } from './adapter-info.ts';

/** A WebGPU backend tells besides what it runs on. */
export interface WebGpuBackend extends Backend {
  readonly adapter: AdapterInfo;
  /** Time on the device by op since the last call; empty unless opened with `profile`. */
  kernelTimes(): Promise<readonly KernelTime[]>;
}

export interface WebGpuOptions {
  /** Whether the time of each op is kept for `kernelTimes`. */
  readonly profile?: boolean;
  /** The most bytes of a tensor that a kernel is to read or write; the adapter's own limit holds besides. */
  readonly maxBindingBytes?: number;
  /** The most bytes that are taken from the device for tensors. Left out: as many as it gives. */
  readonly maxBytes?: number;
}

type PooledBuffer = Pooled<GPUBuffer>;

interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** A tensor's memory as a kernel sees it, from a byte on. */
interface Bound {
  readonly buffer: PooledBuffer;
  readonly start: number;
  /** Left out: to the end of the buffer. */
  readonly bytes?: number;
}

/** Dispatches recorded before the pass is submitted. */
const dispatchesPerSubmit = 256;
/** Additions and multiplications before it is: half a second of a slow GPU, whose driver ends longer ones. */
const flopsPerSubmit = 2 ** 39;
/** Bind groups kept before all are dropped. */
const maxBindGroups = 20_000;

/** The adapter that `openWebGpu` would take, or null where there is none. */
export async function findAdapter(): Promise<AdapterInfo | null> {
  const adapter = await requestAdapter();
  return adapter && describeAdapter(adapter);
}

/**
 * Opens the WebGPU device of this machine (Dawn: Vulkan, Metal or D3D12). Ops append to one open compute
 * pass, submitted when the host reads or a few hundred are in it. Throws DeviceError where there is no
 * adapter.
 */
export async function openWebGpu(options: WebGpuOptions = {}): Promise<WebGpuBackend> {
  const { device, info, wgsl } = await openDevice();
  const { profile = false, maxBytes = Number.POSITIVE_INFINITY } = options;
  const adapterBinds = device.limits.maxStorageBufferBindingSize;
  const maxBindingBytes = Math.min(options.maxBindingBytes ?? adapterBinds, adapterBinds);
  const stats = newStats();
  const faults = new Faults(device);
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const source = {
    largest: Math.min(device.limits.maxBufferSize, maxTensorBytes),
    maxBytes,
    create: (bytes: number) => faults.create(bytes, STORAGE | COPY_SRC | COPY_DST),
    destroy({ memory, usedIn }: PooledBuffer) {
      if (usedIn === submission) flush();
      memory.destroy();
    },
  };
  const pool = new BufferPool(stats, source);
  const profiler = profile && device.features.has('timestamp-query') ? new Profiler(device) : null;
  const pipelines = new Map<string, Pipeline>();
  const layouts = new Map<string, GPUBindGroupLayout>();
  let bindGroups = new Map<string, GPUBindGroup>();
  const words = new Uint32Array(16);
  const reals = new Float32Array(words.buffer);
  let encoder: GPUCommandEncoder | null = null;
  let pass: GPUComputePassEncoder | null = null;
  let [recorded, flops] = [0, 0];
  let submission = 0;

  /**
   * Throws what went wrong since the last time. After OutOfMemoryError the device goes on with less: what no
   * tensor uses is given back, and no more is asked for than it had; what was computed is of no use.
   */
  const settle = () =>
    faults.settle((missing) => {
      for (const { memory } of missing) pool.drop(memory);
      source.maxBytes = Math.min(source.maxBytes, stats.reservedBytes);
      pool.trim();
    });

  const layoutFor = (reads: number, writes: number): GPUBindGroupLayout => {
    const key = `${reads} ${writes}`;
    let layout = layouts.get(key);
    if (!layout) {
      layout = device.createBindGroupLayout({
        entries: Array.from({ length: reads + writes }, (_, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: binding < reads ? ('read-only-storage' as const) : ('storage' as const) },
        })),
      });
      layouts.set(key, layout);
    }
    return layout;
  };

  const pipelineFor = (
    label: string,
    kernel: Kernel,
    donated: ReadonlyMap<number, number>,
    [reads, writes]: readonly [number, number],
  ): Pipeline => {
    // Two ops may have given their kernels one name.
    let key = `${label}: ${kernel.key}`;
    if (donated.size > 0) key += ` in place ${[...donated].join(' ')}`;
    let found = pipelines.get(key);
    if (!found) {
      const layout = layoutFor(reads, writes);
      const pipeline = device.createComputePipeline({
        label,
        layout: device.createPipelineLayout({
          bindGroupLayouts: [layout],
          immediateSize: 4 * kernel.immediates.length,
        } as GPUPipelineLayoutDescriptor),
        compute: {
          module: device.createShaderModule({ label, code: kernel.text(donated) }),
          entryPoint: 'main',
        },
      });
      found = { pipeline, layout };
      pipelines.set(key, found);
      stats.pipelines++;
    }
    return found;
  };

  const boundAt = (memory: DeviceBuffer, offset: number, spec: Spec): Bound => {
    const buffer = memory as PooledBuffer;
    const start = offset * bytesPerElement[spec.dtype];
    const isPart = buffer.bytes - start > maxBindingBytes;
    return { buffer, start, bytes: isPart ? paddedBytes(bytesOf(spec)) : undefined };
  };

  const bindGroupFor = (layout: GPUBindGroupLayout, reads: number, all: readonly Bound[]): GPUBindGroup => {
    let key = `${reads}`;
    for (const { buffer, start, bytes } of all) {
      key += start === 0 ? `,${buffer.id}` : `,${buffer.id}+${start}`;
      if (bytes !== undefined) key += `:${bytes}`;
    }
    let group = bindGroups.get(key);
    if (!group) {
      if (bindGroups.size >= maxBindGroups) bindGroups = new Map();
      group = device.createBindGroup({
        layout,
        entries: all.map(({ buffer, start, bytes }, binding) => ({
          binding,
          resource: { buffer: buffer.memory, offset: start, size: bytes },
        })),
      });
      bindGroups.set(key, group);
    }
    return group;
  };

  const flush = (): void => {
    if (!encoder) return;
    pass?.end();
    profiler?.resolve(encoder);
    device.queue.submit([encoder.finish()]);
    encoder = null;
    pass = null;
    [recorded, flops] = [0, 0];
    submission++;
  };

  const dispatch = (
    label: string,
    kernel: Kernel,
    inputs: readonly Bound[],
    outputs: readonly Bound[],
    donated: ReadonlyMap<number, number>,
    work: number,
  ): void => {
    const { immediates, workgroups } = kernel;
    const read = inputs.filter((_, i) => !donated.has(i));
    const all = [...read, ...outputs];
    const { pipeline, layout } = pipelineFor(label, kernel, donated, [read.length, outputs.length]);
    encoder ??= device.createCommandEncoder();
    if (profiler) {
      pass?.end();
      pass = encoder.beginComputePass(profiler.next(label));
    }
    pass ??= encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroupFor(layout, read.length, all));
    packImmediates(immediates, words, reals);
    if (immediates.length > 0) pass.setImmediates(0, words.buffer, 0, immediates.length * 4);
    pass.dispatchWorkgroups(...workgroups);
    for (const { buffer } of all) buffer.usedIn = submission;
    stats.dispatches++;
    flops += work;
    if (++recorded >= dispatchesPerSubmit || flops >= flopsPerSubmit || profiler?.full) flush();
  };

  const limits = {
    viewAlignment: device.limits.minStorageBufferOffsetAlignment,
    maxBindingBytes,
  };
  const reads = new Reads({
    device,
    faults,
    flush,
    settle,
    copy(from, start, to, at, bytes) {
      pass?.end();
      pass = null;
      encoder ??= device.createCommandEncoder();
      encoder.copyBufferToBuffer(from.memory, start, to, at, bytes);
      from.usedIn = submission;
    },
  });
  const backend: WebGpuBackend = {
    name: 'webgpu',
    description: `webgpu (${[info.name, info.driver].filter(Boolean).join(', ')})`,
    adapter: info,
    stats,
    counted: { memory: 'pool', ...limits, wgsl },
    memory: () => adapterMemory(info),
    ...limits,
    allocate(spec) {
      faults.throwLoss();
      return pool.take(paddedBytes(bytesOf(spec)), () => show(spec));
    },
    free(buffer) {
      pool.give(buffer as PooledBuffer);
    },
    write(buffer, spec, data, start) {
      const target = buffer as PooledBuffer;
      // A write goes ahead of the pass that is still open, so that pass must not use the buffer.
      if (target.usedIn === submission) flush();
      const bits = deviceBits(spec.dtype, data);
      const bytes = new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
      const even = Math.ceil(bytes.length / 4) * 4;
      const source = even === bytes.length ? bytes : new Uint8Array(even);
      if (source !== bytes) source.set(bytes);
      device.queue.writeBuffer(target.memory, start * bytesPerElement[spec.dtype], source);
    },
    read: async (source) => hostArray(source.spec, await reads.bytesOf(source)),
    run(op, inputs, outputs, attrs, taken) {
      requireBindable(op.name, [...inputs, ...outputs], maxBindingBytes);
      const buffers = outputBuffers(this, inputs, outputs, taken);
      if (outputs.some(({ shape }) => size(shape) > 0)) {
        const kernel = op.wgsl(inputs, outputs, attrs, wgsl, taken);
        const donated = new Map(taken.flatMap((input, k) => (input < 0 ? [] : [[input, k]])));
        dispatch(
          op.name,
          kernel,
          inputs.map((t) => boundAt(t.buffer, t.offset, t)),
          buffers.map((buffer, k) => boundAt(buffer, 0, outputs[k])),
          donated,
          flopsOf(op, inputs, outputs, attrs),
        );
      }
      return buffers;
    },
    async sync() {
      faults.throwLoss();
      flush();
      await politely(() => device.queue.onSubmittedWorkDone());
      await settle();
    },
    resetPeak() {
      stats.peakBytes = stats.liveBytes;
    },
    async kernelTimes() {
      await this.sync();
      return (await profiler?.times()) ?? [];
    },
    async close() {
      if (!faults.isLost) await this.sync();
      pool.trim();
      device.destroy();
    },
  };
  return backend;
}

function packImmediates(immediates: readonly Immediate[], words: Uint32Array, reals: Float32Array): void {
  if (immediates.length > words.length)
    throw new Error(`a kernel has ${immediates.length} immediates; 16 fit`);
  immediates.forEach((value, i) => {
    if (typeof value === 'number') words[i] = value;
    else reals[i] = value.f32;
  });
}

function deviceBits(dtype: DType, data: HostArray | Bits): ArrayBufferView {
  return dtype === 'f32' && !(data instanceof Float32Array) ? Float32Array.from(data) : data;
}

function hostArray(spec: Spec, buffer: ArrayBuffer): HostArray {
  switch (spec.dtype) {
    case 'i32':
      return new Int32Array(buffer);
    case 'u32':
      return new Uint32Array(buffer);
    case 'f32':
      return new Float32Array(buffer);
    case 'f16':
      return numbersOf(spec, new Uint16Array(buffer, 0, size(spec.shape)));
    case 'int8':
    case 'nf4':
      return numbersOf(spec, new Uint8Array(buffer));
  }
}
