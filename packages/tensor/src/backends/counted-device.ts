import { countLive, type DeviceBuffer, type Stats } from '../backend.ts';
import { isList, type KernelOp, type WgslDevice } from '../op.ts';
import { bytesOf, type Spec, show } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { bytesOfArray } from './gpujs.ts';
import { Heap, type Piece, tensorsIn } from './wasm/heap.ts';
import { reservedBytes } from './wasm/wasm.ts';
import { maxTensorBytes, requireBindable } from './webgpu/bindings.ts';
import { BufferPool, type PooledBuffer, paddedBytes } from './webgpu/pool.ts';

/** Of a device, what decides on its memory and on kernels. */
export type CountedDevice = CountedAdapter | CountedHeap | CountedArrays;

/** A WebGPU adapter, whose buffers are a pool's. */
export interface CountedAdapter {
  readonly memory: 'pool';
  readonly maxBindingBytes: number;
  readonly viewAlignment: number;
  readonly wgsl: WgslDevice;
}

/** The CPU engine, whose tensors are pieces of one heap. */
export interface CountedHeap {
  readonly memory: 'heap';
  readonly threads: number;
}

/** gpu.js, whose tensors are arrays of the host. */
export interface CountedArrays {
  readonly memory: 'arrays';
}

/** How a device takes memory and what it does in a call, without either. */
export interface DeviceModel {
  readonly viewAlignment: number;
  readonly maxBindingBytes: number;
  allocate(spec: Spec): DeviceBuffer;
  free(buffer: DeviceBuffer, spec: Spec): void;
  /** Counts what a call does besides taking memory for its outputs. */
  call(
    op: KernelOp<object>,
    inputs: readonly Tensor[],
    outputs: readonly Spec[],
    attrs: object,
    taken: readonly number[],
    buffers: readonly DeviceBuffer[],
  ): void;
}

/** Told which buffers a dispatch on an adapter is given; null: no kernel is chosen for it. */
type OnBind = ((key: string) => void) | null;

/** The model of a device. */
export function modelOf(device: CountedDevice, stats: Stats, onBind: OnBind): DeviceModel {
  switch (device.memory) {
    case 'pool':
      return adapterModel(device, stats, onBind);
    case 'heap':
      return heapModel(device, stats);
    case 'arrays':
      return arrayModel(stats);
  }
}

function adapterModel(
  { maxBindingBytes, viewAlignment, wgsl }: CountedAdapter,
  stats: Stats,
  onBind: OnBind,
): DeviceModel {
  const pool = new BufferPool(stats, {
    largest: maxTensorBytes,
    maxBytes: Number.POSITIVE_INFINITY,
    create: () => ({}),
    destroy() {},
  });
  const kernels = new Set<string>();
  const idOf = (buffer: object) => (buffer as PooledBuffer<unknown>).id;
  return {
    viewAlignment,
    maxBindingBytes,
    allocate(spec) {
      return pool.take(paddedBytes(bytesOf(spec)), () => show(spec));
    },
    free(buffer) {
      pool.give(buffer as PooledBuffer<object>);
    },
    call(op, inputs, outputs, attrs, taken, buffers) {
      requireBindable(op.name, [...inputs, ...outputs], maxBindingBytes);
      for (const { buffer } of inputs) (buffer as PooledBuffer<object>).usedIn = stats.dispatches;
      for (const buffer of buffers) (buffer as PooledBuffer<object>).usedIn = stats.dispatches;
      if (!onBind) return;
      const { name, key } = op.wgsl(inputs, outputs, attrs, wgsl, taken);
      kernels.add(`${name} ${key}`);
      stats.pipelines = kernels.size;
      onBind([...inputs.map((t) => `${idOf(t.buffer)}+${t.offset}`), ...buffers.map(idOf)].join());
    },
  };
}

function heapModel({ threads }: CountedHeap, stats: Stats): DeviceModel {
  const heap = new Heap(() => ({ grow() {} }), reservedBytes(threads), Number.POSITIVE_INFINITY);
  const { allocate, free, withTemporary } = tensorsIn(heap, stats);
  return {
    viewAlignment: 4,
    maxBindingBytes: Number.POSITIVE_INFINITY,
    allocate,
    free: (buffer, spec) => free(buffer as Piece, spec),
    call(op, inputs, outputs, attrs, taken) {
      const made = op.wasm?.(inputs, outputs, attrs, taken);
      if (made) withTemporary(op.name, isList(made) ? made : [made], () => {});
    },
  };
}

function arrayModel(stats: Stats): DeviceModel {
  const count = (bytes: number) => {
    countLive(stats, bytes);
    stats.reservedBytes = stats.liveBytes;
  };
  return {
    viewAlignment: 1,
    maxBindingBytes: Number.POSITIVE_INFINITY,
    allocate(spec) {
      count(bytesOfArray(spec));
      return {};
    },
    free: (_, spec) => count(-bytesOfArray(spec)),
    call() {},
  };
}
