import { type Backend, countLive, newStats } from '../../backend.ts';
import { DeviceError } from '../../errors.ts';
import { float16BitsToFloat32 } from '../../half-floats.ts';
import type { Immediate, Kernel } from '../../kernel-record.ts';
import type { HostArray } from '../../op.ts';
import { bytesPerElement, type DType, type Spec, show, size } from '../../shape.ts';
import type { AdapterInfo, KernelTime } from './adapter-info.ts';
import { describeAdapter, openDevice, politely, requestAdapter } from './device.ts';
import { BufferPool, type PooledBuffer, paddedBytes } from './pool.ts';
import { Profiler } from './profiler.ts';

export type { AdapterInfo, KernelTime } from './adapter-info.ts';

/** A WebGPU backend tells besides what it runs on. */
export interface WebGpuBackend extends Backend {
  readonly adapter: AdapterInfo;
  /** Time on the device by op since the last call; empty unless opened with `profile`. */
  kernelTimes(): Promise<readonly KernelTime[]>;
}

interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** A tensor's memory as a kernel sees it, from a byte on. */
interface Bound {
  readonly buffer: PooledBuffer;
  readonly start: number;
}

/** Dispatches recorded before the pass is submitted. */
const dispatchesPerSubmit = 256;
/** Bind groups kept before all are dropped. */
const maxBindGroups = 20_000;
const bytesOf = (spec: Spec) => size(spec.shape) * bytesPerElement[spec.dtype];

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
export async function openWebGpu({ profile = false } = {}): Promise<WebGpuBackend> {
  const { device, info, wgsl } = await openDevice();
  const stats = newStats();
  const pool = new BufferPool(device, stats);
  const profiler = profile && device.features.has('timestamp-query') ? new Profiler(device) : null;
  const pipelines = new Map<string, Pipeline>();
  const layouts = new Map<string, GPUBindGroupLayout>();
  let bindGroups = new Map<string, GPUBindGroup>();
  const words = new Uint32Array(16);
  const reals = new Float32Array(words.buffer);
  let failure: DeviceError | null = null;
  let encoder: GPUCommandEncoder | null = null;
  let pass: GPUComputePassEncoder | null = null;
  let recorded = 0;
  let submission = 0;

  device.addEventListener('uncapturederror', (event) => {
    failure ??= new DeviceError(`webgpu: ${(event as GPUUncapturedErrorEvent).error.message.split('\n')[0]}`);
  });
  device.lost
    .then(({ reason, message }) => {
      if (reason !== 'destroyed') failure ??= new DeviceError(`webgpu: the device was lost: ${message}`);
    })
    .catch((error: unknown) => {
      failure ??= new DeviceError(`webgpu: ${String(error)}`);
    });

  const throwFailure = (): void => {
    if (failure) throw failure;
  };

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

  const bindGroupFor = (layout: GPUBindGroupLayout, reads: number, all: readonly Bound[]): GPUBindGroup => {
    let key = `${reads}`;
    for (const { buffer, start } of all) key += start === 0 ? `,${buffer.id}` : `,${buffer.id}+${start}`;
    let group = bindGroups.get(key);
    if (!group) {
      if (bindGroups.size >= maxBindGroups) bindGroups = new Map();
      group = device.createBindGroup({
        layout,
        entries: all.map(({ buffer, start }, binding) => ({
          binding,
          resource: { buffer: buffer.gpu, offset: start },
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
    recorded = 0;
    submission++;
  };

  const dispatch = (
    label: string,
    kernel: Kernel,
    inputs: readonly Bound[],
    outputs: readonly Bound[],
    donated: ReadonlyMap<number, number>,
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
    if (++recorded >= dispatchesPerSubmit || profiler?.full) flush();
  };

  const backend: WebGpuBackend = {
    name: 'webgpu',
    description: `webgpu (${[info.name, info.driver].filter(Boolean).join(', ')})`,
    adapter: info,
    stats,
    viewAlignment: device.limits.minStorageBufferOffsetAlignment,
    allocate(spec) {
      const buffer = pool.take(paddedBytes(bytesOf(spec)));
      countLive(stats, buffer.bytes);
      return buffer;
    },
    free(buffer) {
      countLive(stats, -(buffer as PooledBuffer).bytes);
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
      device.queue.writeBuffer(target.gpu, start * bytesPerElement[spec.dtype], source);
    },
    async read({ buffer, offset, spec }) {
      throwFailure();
      const bytes = Math.ceil(bytesOf(spec) / 4) * 4;
      if (bytes === 0) return hostArray(spec, new ArrayBuffer(0));
      const { MAP_READ, COPY_DST } = GPUBufferUsage;
      const staging = device.createBuffer({ size: bytes, usage: MAP_READ | COPY_DST });
      pass?.end();
      pass = null;
      encoder ??= device.createCommandEncoder();
      const start = offset * bytesPerElement[spec.dtype];
      encoder.copyBufferToBuffer((buffer as PooledBuffer).gpu, start, staging, 0, bytes);
      flush();
      await politely(() => staging.mapAsync(GPUMapMode.READ));
      const copy = staging.getMappedRange().slice(0);
      staging.unmap();
      staging.destroy();
      throwFailure();
      return hostArray(spec, copy);
    },
    run(op, inputs, outputs, attrs, taken) {
      const buffers = outputs.map(
        (output, k) => (inputs[taken[k]]?.buffer ?? this.allocate(output)) as PooledBuffer,
      );
      if (outputs.some(({ shape }) => size(shape) > 0)) {
        const kernel = op.wgsl(inputs, outputs, attrs, wgsl, taken);
        const bound = inputs.map((t) => ({
          buffer: t.buffer as PooledBuffer,
          start: t.offset * bytesPerElement[t.dtype],
        }));
        const donated = new Map(taken.flatMap((input, k) => (input < 0 ? [] : [[input, k]])));
        dispatch(
          op.name,
          kernel,
          bound,
          buffers.map((buffer) => ({ buffer, start: 0 })),
          donated,
        );
      }
      return buffers;
    },
    async sync() {
      flush();
      await politely(() => device.queue.onSubmittedWorkDone());
      throwFailure();
    },
    resetPeak() {
      stats.peakBytes = stats.liveBytes;
    },
    async kernelTimes() {
      await this.sync();
      return (await profiler?.times()) ?? [];
    },
    async close() {
      await this.sync();
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

function deviceBits(dtype: DType, data: HostArray | Uint16Array): ArrayBufferView {
  return dtype === 'f32' && !(data instanceof Float32Array) ? Float32Array.from(data) : data;
}

function hostArray(spec: Spec, buffer: ArrayBuffer): HostArray {
  const n = size(spec.shape);
  switch (spec.dtype) {
    case 'f16':
      return float16BitsToFloat32(new Uint16Array(buffer, 0, n));
    case 'i32':
      return new Int32Array(buffer);
    case 'u32':
      return new Uint32Array(buffer);
    case 'f32':
      return new Float32Array(buffer);
    default:
      throw new Error(`webgpu: ${show(spec)} cannot be read`);
  }
}
