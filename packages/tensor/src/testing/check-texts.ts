import type { AnyOp, Sample, WgslDevice } from '../op.ts';
import type { Spec } from '../shape.ts';
import { specsOf } from './arbitrary.ts';

const wgslDevices: readonly WgslDevice[] = [
  { subgroupSize: 0, software: false },
  { subgroupSize: 32, software: false },
  { subgroupSize: 8, software: true },
];

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
  const wgsl = op.wgsl?.bind(op);
  if (!wgsl) return false;
  return (op.samples as readonly Sample<object>[]).some((sample) => {
    const specs = specsOf(op, sample);
    const output = op.infer(specs, sample.attrs);
    const own: WgslDevice = { subgroupSize: 8, software: true };
    const devices = [own, ...Object.values(otherDevices).map((as) => as(own))];
    return new Set(devices.map((device) => wgsl(specs, output, sample.attrs, device).code)).size > 1;
  });
}

interface Call {
  readonly specs: readonly Spec[];
  readonly attrs: object;
}

/**
 * Throws when an op writes a size or a scalar into its kernel text. A text may depend on a size, as where a
 * tile is chosen by it; but then some other size gives the same text. So each size of each sample is replaced
 * by others that infer takes, and one of them must leave the text as it is; likewise each number that is not
 * whole in attrs.
 */
export function checkTexts(op: AnyOp): void {
  for (const sample of op.samples as readonly Sample<object>[]) {
    const call: Call = { specs: specsOf(op, sample), attrs: sample.attrs };
    for (const [kind, textOf] of textsOf(op)) {
      const text = textOf(call);
      if (text === null) continue;
      for (const n of sizesOf(call)) {
        const others = otherSizes.flatMap((f) => withSize(call, n, f(n))).map(textOf);
        requireSame(text, others, `${op.name}: its ${kind} text holds the size ${n}`);
      }
      for (const x of scalarsOf(call.attrs)) {
        const others = [{ specs: call.specs, attrs: replaced(call.attrs, x, 1.25 * x) }].map(textOf);
        requireSame(text, others, `${op.name}: its ${kind} text holds the scalar ${x}`);
      }
    }
  }
}

/**
 * The text of a call by kind, null where there is none: the op does not take the call, or it is a plain loop.
 */
function textsOf(op: AnyOp): [string, (call: Call) => string | null][] {
  const orNull = (f: (call: Call) => string | null) => (call: Call) => {
    try {
      return f(call);
    } catch {
      return null; // the op refuses the call, so it says nothing of the text
    }
  };
  const host = orNull(({ specs, attrs }) => {
    const kernel = op.gpujs!(specs, op.infer(specs, attrs), attrs);
    return 'code' in kernel ? kernel.code : null;
  });
  const wgsl = wgslDevices.map((device): [string, (call: Call) => string | null] => [
    `WGSL (${device.subgroupSize} lanes)`,
    orNull(({ specs, attrs }) => op.wgsl!(specs, op.infer(specs, attrs), attrs, device).code),
  ]);
  return [...(op.gpujs ? [['gpu.js', host] as [string, typeof host]] : []), ...(op.wgsl ? wgsl : [])];
}

function requireSame(text: string, others: readonly (string | null)[], message: string): void {
  const taken = others.filter((other) => other !== null);
  if (taken.length > 0 && !taken.includes(text)) throw new Error(`${message}:\n${text}`);
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
