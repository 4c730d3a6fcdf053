import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { type Backend, countLive, type DeviceBuffer, newStats } from '../../backend.ts';
import { float16BitsToFloat32, toFloat16Bits } from '../../half-floats.ts';
import { type HostArray, isList, type KernelOp } from '../../op.ts';
import { bytesPerElement, type Spec, show, size } from '../../shape.ts';
import type { Tensor } from '../../tensor.ts';
import { Instance, Module, type Run, type WasmModule } from '../../wasm/engine.ts';
import { scratchBytes, type WasmKernel } from '../../wasm-kernel.ts';
import { runOnHost } from '../reference.ts';
import type { KernelTime } from '../webgpu/adapter-info.ts';
import { Crew } from './crew.ts';
import { Heap } from './heap.ts';

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

interface Piece {
  readonly address: number;
}

interface Compiled {
  readonly index: number;
  readonly module: WasmModule;
  readonly run: Run;
}

/** A call's addresses and numbers are written here; the first bytes stay free, so that no address is 0. */
const argsAt = 64;
const argsBytes = 256;
/** Nanoseconds of work for which a second thread is worth waking. */
const worthSharing = 20_000;
/** What a thread takes at a time lasts about that long at least. */
const shareNanoseconds = 4_000;
/** Shares a thread: so many that none waits long for the last. */
const sharesPerThread = 4;
/** Past the end of a tensor a kernel may read so many bytes. */
const readable = 16;

const bytesOf = (spec: Spec) => size(spec.shape) * bytesPerElement[spec.dtype];
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
  const reserved = argsAt + argsBytes + threads * scratchBytes;
  const heap = new Heap(reserved, maxBytes);
  const { memory } = heap;
  const scratch = Array.from({ length: threads }, (_, i) => argsAt + argsBytes + i * scratchBytes);
  const crew = new Crew(memory, scratch);
  const words = new Uint32Array(memory.buffer, argsAt, argsBytes / 4);
  const reals = new Float32Array(memory.buffer, argsAt, argsBytes / 4);
  const compiled = new Map<string, Compiled>();
  const times = new Map<string, KernelTime>();

  /** The elements of a piece of memory as they lie there: the bits of f16. */
  const viewOf = (address: number, { shape, dtype }: Spec) => {
    const length = size(shape);
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
    const bytes = Math.max(...kernels.map(({ temporary }) => temporary));
    const temporary = bytes > 0 ? heap.take(bytes + readable, () => `${label} between its steps`) : 0;
    const outputs = buffers.map((buffer) => (buffer as Piece).address);
    const addresses = [...inputs.map(addressOf), ...outputs, temporary];
    try {
      for (const kernel of kernels) dispatch(label, kernel, addresses);
    } finally {
      if (bytes > 0) heap.give(temporary, bytes + readable);
    }
  };

  const runInJavaScript = (
    op: KernelOp<object>,
    inputs: readonly Tensor[],
    outputs: readonly Spec[],
    attrs: object,
    buffers: readonly DeviceBuffer[],
  ): void => {
    const widened = (view: ReturnType<typeof viewOf>): HostArray =>
      view instanceof Uint16Array ? float16BitsToFloat32(view) : view;
    const targets = buffers.map((buffer, k) => viewOf((buffer as Piece).address, outputs[k]));
    const filled = targets.map(widened);
    runOnHost(
      op.host(inputs, outputs, attrs),
      inputs.map((t) => widened(viewOf(addressOf(t), t))),
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
    allocate(spec) {
      const address = heap.take(bytesOf(spec) + readable, () => show(spec));
      countLive(stats, bytesOf(spec));
      stats.reservedBytes = heap.bytes;
      return { address } satisfies Piece;
    },
    free(buffer, spec) {
      heap.give((buffer as Piece).address, bytesOf(spec) + readable);
      countLive(stats, -bytesOf(spec));
    },
    write(buffer, spec, data, start) {
      viewOf((buffer as Piece).address, spec).set(data, start);
    },
    async read({ buffer, offset, spec }) {
      const address = (buffer as Piece).address + offset * bytesPerElement[spec.dtype];
      const view = viewOf(address, spec);
      const values = view instanceof Uint16Array ? float16BitsToFloat32(view) : copyOf(view);
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
const copyOf = <A extends Float32Array | Int32Array | Uint32Array>(view: A): A =>
  new (view.constructor as new (source: A) => A)(view);
