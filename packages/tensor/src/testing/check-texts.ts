import type { Kernel } from '../kernel-record.ts';
import { type AnyOp, outputsOf, type Sample, type WgslDevice } from '../op.ts';
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

function kernelOf(op: AnyOp, { specs, attrs }: Call, device: WgslDevice): Kernel {
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
  const orNull =
    <T>(f: (call: Call) => T) =>
    (call: Call): T | null => {
      try {
        return f(call);
      } catch {
        return null; // the op refuses the call, so it says nothing of the text
      }
    };
  if (op.kind !== 'kernel') return [];
  const host = orNull(({ specs, attrs }) => {
    const kernel = op.host(specs, outputsOf(op, specs, attrs), attrs);
    return typeof kernel === 'function' ? null : kernel.code;
  });
  const keys = new Map<string, string>();
  const wgsl = wgslDevices.map((device): [string, (call: Call) => string | null] => [
    `WGSL (${device.subgroupSize} lanes)`,
    (call) => {
      const kernel = orNull((taken) => kernelOf(op, taken, device))(call);
      if (!kernel) return null;
      const text = kernel.text();
      // Backends build a text once a key, so two texts of one key would be one of them for both.
      if (text !== (keys.get(kernel.key) ?? text)) {
        throw new Error(
          `${op.name}: two texts have the key "${kernel.key}": a size stands in the text, which belongs into ` +
            'params, or the text depends on what its variant does not say',
        );
      }
      keys.set(kernel.key, text);
      return text;
    },
  ]);
  return [['gpu.js', host], ...wgsl];
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
