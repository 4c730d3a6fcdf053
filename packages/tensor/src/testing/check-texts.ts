import type { Kernel } from '../kernel-record.ts';
import { type AnyOp, isList, type KernelOp, outputsOf, type Sample, type WgslDevice } from '../op.ts';
import type { Spec } from '../shape.ts';
import type { WasmKernel } from '../wasm-kernel.ts';
import { specsOf } from './arbitrary.ts';

const wgslDevices: readonly WgslDevice[] = [
  { subgroupSize: 0, software: false },
  { subgroupSize: 32, software: false },
  { subgroupSize: 8, software: true },
];

/** `maxStorageBuffersPerShaderStage` of every WebGPU device at the least. */
const mostBound = 8;

/**
 * What a size is replaced by: multiples, which keep divisibility, and others, which keep powers of two or
 * nothing.
 */
const otherSizes = [
  (n: number) => 5 * n,
  (n: number) => 3 * n,
  (n: number) => 2 * n,
  (n: number) => 4 * n,
  (n: number) => n + 4,
];

/**
 * What else a device could tell an op, by which the op may choose another text that runs here all the same.
 */
export const otherDevices: Readonly<Record<string, (device: WgslDevice) => WgslDevice>> = {
  'a device without subgroups': (device) => ({ ...device, subgroupSize: 0 }),
  'a device in hardware': (device) => ({ ...device, software: false }),
};

/** True where an op's text at its samples depends on the device. */
export function dependsOnDevice(op: AnyOp): boolean {
  if (op.kind !== 'kernel') return false;
  return (op.samples as readonly Sample<object>[]).some((sample) => {
    const specs = specsOf(op, sample);
    const own: WgslDevice = { subgroupSize: 8, software: true };
    const devices = [own, ...Object.values(otherDevices).map((as) => as(own))];
    return (
      new Set(devices.map((device) => kernelOf(op, { specs, attrs: sample.attrs }, device).text())).size > 1
    );
  });
}

export function kernelOf(op: AnyOp, { specs, attrs }: Call, device: WgslDevice): Kernel {
  if (op.kind !== 'kernel') throw new Error(`${op.name} has no kernel`);
  const outputs = outputsOf(op, specs, attrs);
  return op.wgsl(
    specs,
    outputs,
    attrs,
    device,
    outputs.map(() => -1),
  );
}

interface Call {
  readonly specs: readonly Spec[];
  readonly attrs: object;
}

/** What an op has for a call; equal keys mean equal texts. */
interface Written {
  readonly key: string;
  readonly text: string;
}

/** A language that kernels are written in; null for a call that the op has only a plain loop for. */
interface Language {
  readonly name: string;
  readonly write: (call: Call) => Written | null;
}

/**
 * Throws when an op writes a size or a scalar into its kernel text. A text may depend on a size, as where a
 * tile is chosen by it; but then some other size gives the same text. So each size of each sample is replaced
 * by others that infer takes, and one of them must leave the text as it is; likewise each number that is not
 * whole in attrs. Where none of these calls makes new WGSL, none makes new WebAssembly. Throws too where a
 * kernel binds more buffers than WebGPU has on every device.
 */
export function checkTexts(op: AnyOp): void {
  if (op.kind !== 'kernel') return;
  const samples = op.samples as readonly Sample<object>[];
  const calls = samples.map((sample): Call => ({ specs: specsOf(op, sample), attrs: sample.attrs }));
  const growing = languagesOf(op).filter(({ name, write }) => {
    const keys = new Set(calls.map((call) => write(call)?.key));
    let grows = false;
    const compare = (call: Call, others: readonly Call[], what: string) => {
      const text = write(call)?.text;
      const written = others.filter((other) => isTaken(op, other)).map(write);
      if (text !== undefined && written.length > 0 && written.every((other) => other?.text !== text)) {
        throw new Error(`${op.name}: its ${name} text holds the ${what}:\n${text}`);
      }
      grows ||= written.some((other) => !keys.has(other?.key));
    };
    for (const call of calls) {
      for (const n of sizesOf(call)) {
        const others = otherSizes.flatMap((f) => withSize(call, n, f(n)));
        compare(call, others, `size ${n}`);
      }
      for (const x of scalarsOf(call.attrs)) {
        compare(call, [{ ...call, attrs: replaced(call.attrs, x, 1.25 * x) }], `scalar ${x}`);
      }
    }
    return grows;
  });
  const names = growing.map(({ name }) => name);
  if (names.includes('WebAssembly') && !names.some((name) => name.startsWith('WGSL'))) {
    throw new Error(`${op.name}: other sizes or scalars make new WebAssembly, where they make no new WGSL`);
  }
}

function isTaken(op: AnyOp, { specs, attrs }: Call): boolean {
  try {
    outputsOf(op, specs, attrs);
    return true;
  } catch {
    return false; // the op refuses the call, so it says nothing of the text
  }
}

function languagesOf(op: KernelOp<object>): Language[] {
  const wgsl = wgslDevices.map((device): Language => {
    const once = oneTextAKey(op);
    return {
      name: `WGSL (${device.subgroupSize} lanes)`,
      write(call) {
        const kernel = kernelOf(op, call, device);
        const text = kernel.text();
        const bound = text.match(/var<storage/g)?.length ?? 0;
        if (bound > mostBound) {
          throw new Error(
            `${op.name}: binds ${bound} buffers, and a device need not take more than ${mostBound}`,
          );
        }
        return once(kernel.key, text);
      },
    };
  });
  const once = oneTextAKey(op);
  return [
    {
      name: 'gpu.js',
      write({ specs, attrs }) {
        const kernel = op.host(specs, outputsOf(op, specs, attrs), attrs);
        return typeof kernel === 'function' ? null : { key: kernel.code, text: kernel.code };
      },
    },
    ...wgsl,
    {
      name: 'WebAssembly',
      write(call) {
        const written = wasmOf(op, call)?.map(({ key, module }) =>
          once(key, Buffer.from(module()).toString('hex')),
        );
        if (!written) return null;
        const all = (part: keyof Written) => written.map((one) => one[part]).join('\n');
        return { key: all('key'), text: all('text') };
      },
    },
  ];
}

function wasmOf(op: KernelOp<object>, { specs, attrs }: Call): readonly WasmKernel[] | undefined {
  const outputs = outputsOf(op, specs, attrs);
  const made = op.wasm?.(
    specs,
    outputs,
    attrs,
    outputs.map(() => -1),
  );
  return made === undefined || isList(made) ? made : [made];
}

/** Throws for a text whose key had another: backends compile one a key, which would stand for both. */
function oneTextAKey(op: AnyOp): (key: string, text: string) => Written {
  const texts = new Map<string, string>();
  return (key, text) => {
    if (text !== (texts.get(key) ?? text)) {
      throw new Error(
        `${op.name}: two texts have the key "${key}": a size stands in the text, which belongs into ` +
          'params, or the text depends on what its variant does not say',
      );
    }
    texts.set(key, text);
    return { key, text };
  };
}

/** The call with a size replaced wherever it occurs, in the shapes alone and in attrs too. */
function withSize({ specs, attrs }: Call, from: number, to: number): Call[] {
  const larger = specs.map((spec) => ({ ...spec, shape: spec.shape.map((n) => (n === from ? to : n)) }));
  return [
    { specs: larger, attrs },
    { specs: larger, attrs: replaced(attrs, from, to) },
  ];
}

function sizesOf({ specs }: Call): Set<number> {
  return new Set(specs.flatMap((spec) => spec.shape).filter((n) => n > 1));
}

function scalarsOf(value: unknown): number[] {
  if (typeof value === 'number') return Number.isInteger(value) || !Number.isFinite(value) ? [] : [value];
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(scalarsOf) : [];
}

function replaced<T>(value: T, from: number, to: number): T {
  if (value === from) return to as T;
  if (Array.isArray(value)) return value.map((v) => replaced(v, from, to)) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, replaced(v, from, to)])) as T;
}
