import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { type Backend, type DeviceBuffer, newStats } from '../../backend.ts';
import { toFloat16Bits } from '../../half-floats.ts';
import { numbersOf } from '../../numbers-of.ts';
import { type HostArray, isList, type KernelOp } from '../../op.ts';
import { isQuantized } from '../../quantized.ts';
import { bytesOf, bytesPerElement, type Spec, size } from '../../shape.ts';
import type { Tensor } from '../../tensor.ts';
import { Instance, Module, type Run, type WasmModule } from '../../wasm/engine.ts';
import { scratchBytes, type WasmKernel } from '../../wasm-kernel.ts';
import { leastMemory, mainMemory } from '../device-memory.ts';
import { runOnHost } from '../reference.ts';
import type { KernelTime } from '../webgpu/adapter-info.ts';
import { Crew } from './crew.ts';
import { Heap, mostBytes, type Piece, sharedMemory, tensorsIn } from './heap.ts';

export interface WasmOptions {
  /** Threads that compute, the calling one among them. Left out: one a core. Results do not depend on it. */
  readonly threads?: number;
  /** The most bytes that tensors may have. Left out: 4 GiB, all that WebAssembly can address. */
  readonly maxBytes?: number;
  /** Whether the time of each op is kept for `kernelTimes`. */
  readonly profile?: boolean;
}

/** A wasm backend tells besides where its time went. */
export interface WasmBackend extends Backend {
  /** Time by op since the last call; empty unless opened with `profile`. */
  kernelTimes(): Promise<readonly KernelTime[]>;
}

interface Compiled {
  readonly index: number;
  readonly module: WasmModule;
  readonly run: Run;
}

/** A call's addresses and numbers are written here; the first bytes stay free, so that no address is 0. */
const argsAt = 64;
const argsBytes = 256;
/** Bytes before the first tensor's. */
export const reservedBytes = (threads: number): number => argsAt + argsBytes + threads * scratchBytes;
/** Nanoseconds of work for which a second thread is worth waking. */
const worthSharing = 20_000;
/** What a thread takes at a time lasts about that long at least. */
const shareNanoseconds = 4_000;
/** Shares a thread: so many that none waits long for the last. */
const sharesPerThread = 4;

const addressOf = (t: Tensor) => (t.buffer as Piece).address + t.offset * bytesPerElement[t.dtype];

/**
 * The CPU engine: WebAssembly with SIMD in one memory, on several threads. An op has run when its call
 * returns, and what is freed can be used again at once. Ops without WebAssembly of their own run as loops in
 * JavaScript. Throws RangeError for a number of threads that is not whole or less than 1.
 */
export function openWasm({
  threads = availableParallelism(),
  maxBytes,
  profile = false,
}: WasmOptions = {}): WasmBackend {
  if (!Number.isInteger(threads) || threads < 1)
    throw new RangeError(`wasm: needs a whole number of threads, 1 or more, got ${threads}`);
  const stats = newStats();
  const heap = new Heap(sharedMemory, reservedBytes(threads), maxBytes);
  const { allocate, free, withTemporary } = tensorsIn(heap, stats);
  const { memory } = heap;
  const scratch = Array.from({ length: threads }, (_, i) => argsAt + argsBytes + i * scratchBytes);
  const crew = new Crew(memory, scratch);
  const words = new Uint32Array(memory.buffer, argsAt, argsBytes / 4);
  const reals = new Float32Array(memory.buffer, argsAt, argsBytes / 4);
  const compiled = new Map<string, Compiled>();
  const times = new Map<string, KernelTime>();

  /** The elements of a piece of memory as they lie there: the bits of f16, the bytes of int8 and nf4. */
  const viewOf = (address: number, spec: Spec) => {
    const { shape, dtype } = spec;
    const length = size(shape);
    if (isQuantized(spec)) return new Uint8Array(memory.buffer, address, bytesOf(spec));
    if (dtype === 'f16') return new Uint16Array(memory.buffer, address, length);
    if (dtype === 'i32') return new Int32Array(memory.buffer, address, length);
    if (dtype === 'u32') return new Uint32Array(memory.buffer, address, length);
    return new Float32Array(memory.buffer, address, length);
  };

  const compile = (label: string, kernel: WasmKernel): Compiled => {
    const key = `${label}: ${kernel.key}`;
    let found = compiled.get(key);
    if (!found) {
      const module = new Module(kernel.module());
      const { exports } = new Instance(module, { kernel: { memory } });
      found = { index: compiled.size, module, run: exports.run };
      compiled.set(key, found);
      stats.pipelines++;
    }
    return found;
  };

  const dispatch = (label: string, kernel: WasmKernel, addresses: readonly number[]): void => {
    const { items, cost, immediates } = kernel;
    const all = addresses.length + immediates.length;
    if (4 * all > argsBytes) throw new Error(`${label}: ${all} addresses and numbers; ${argsBytes / 4} fit`);
    if (items === 0) return;
    const { index, module, run } = compile(label, kernel);
    let at = 0;
    for (const address of addresses) words[at++] = address;
    for (const value of immediates) {
      if (typeof value === 'number') words[at++] = value;
      else reals[at++] = value.f32;
    }
    if (threads === 1 || items === 1 || items * cost < worthSharing) {
      run(0, items, argsAt, scratch[0]);
      return;
    }
    const least = Math.ceil(shareNanoseconds / cost);
    const share = Math.max(least, Math.ceil(items / (threads * sharesPerThread)));
    crew.run({ kernel: index, module, run, items, share, args: argsAt });
  };

  /** Runs an op's kernels one after the other, with memory between them where they want some. */
  const runKernels = (
    label: string,
    kernels: readonly WasmKernel[],
    inputs: readonly Tensor[],
    buffers: readonly DeviceBuffer[],
  ): void => {
    const outputs = buffers.map((buffer) => (buffer as Piece).address);
    withTemporary(label, kernels, (temporary) => {
      const addresses = [...inputs.map(addressOf), ...outputs, temporary];
      for (const kernel of kernels) dispatch(label, kernel, addresses);
    });
  };

  const runInJavaScript = (
    op: KernelOp<object>,
    inputs: readonly Tensor[],
    outputs: readonly Spec[],
    attrs: object,
    buffers: readonly DeviceBuffer[],
  ): void => {
    const targets = buffers.map((buffer, k) => viewOf((buffer as Piece).address, outputs[k]));
    const filled = targets.map((target, k) => numbersOf(outputs[k], target));
    runOnHost(
      op.host(inputs, outputs, attrs),
      inputs.map((t) => numbersOf(t, viewOf(addressOf(t), t))),
      filled,
    );
    targets.forEach((target, k) => {
      if (target instanceof Uint16Array) target.set(toFloat16Bits(filled[k]));
    });
  };

  return {
    name: 'wasm',
    description: `cpu (WebAssembly, ${threads} thread${threads === 1 ? '' : 's'})`,
    stats,
    viewAlignment: 4,
    maxBindingBytes: Number.POSITIVE_INFINITY,
    counted: { memory: 'heap', threads },
    memory: async () => leastMemory(mainMemory(), { bytes: maxBytes ?? mostBytes, of: 'WebAssembly' }),
    allocate,
    free: (buffer, spec) => free(buffer as Piece, spec),
    write(buffer, spec, data, start) {
      viewOf((buffer as Piece).address, spec).set(data, start);
    },
    async read({ buffer, offset, spec }) {
      const address = (buffer as Piece).address + offset * bytesPerElement[spec.dtype];
      const view = viewOf(address, spec);
      const numbers = numbersOf(spec, view);
      const values = numbers === view ? copyOf(numbers) : numbers;
      // Nothing else waits here: without this, signals and timers would wait for the whole program.
      await setImmediate();
      return values;
    },
    run(op, inputs, outputs, attrs, taken) {
      const started = profile ? performance.now() : 0;
      const buffers: DeviceBuffer[] = [];
      try {
        outputs.forEach((output, k) => {
          buffers.push(inputs[taken[k]]?.buffer ?? this.allocate(output));
        });
        if (outputs.every(({ shape }) => size(shape) === 0)) return buffers;
        stats.dispatches++;
        const made = op.wasm?.(inputs, outputs, attrs, taken);
        if (made) runKernels(op.name, isList(made) ? made : [made], inputs, buffers);
        else runInJavaScript(op, inputs, outputs, attrs, buffers);
      } catch (error) {
        buffers.forEach((buffer, k) => {
          if (taken[k] < 0) this.free(buffer, outputs[k]);
        });
        throw error;
      }
      if (profile) {
        const { count = 0, milliseconds = 0 } = times.get(op.name) ?? {};
        const more = performance.now() - started;
        times.set(op.name, { name: op.name, count: count + 1, milliseconds: milliseconds + more });
      }
      return buffers;
    },
    async sync() {
      await setImmediate();
    },
    async kernelTimes() {
      const all = [...times.values()].sort((x, y) => y.milliseconds - x.milliseconds);
      times.clear();
      return all;
    },
    resetPeak() {
      stats.peakBytes = stats.liveBytes;
    },
    close: () => crew.end(),
  };
}

/** The same elements in memory of their own, which no thread shares. */
const copyOf = <A extends HostArray>(view: A): A => new (view.constructor as new (source: A) => A)(view);
