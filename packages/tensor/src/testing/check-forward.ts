import fc from 'fast-check';
import { describe, test } from 'vitest';
import type { Backend } from '../backend.ts';
import { runOnHost } from '../backends/reference.ts';
import { type AnyOp, type HostArray, isList, type Known, type Op, outputsOf, type Sample } from '../op.ts';
import { reshape } from '../ops/reshape.ts';
import { slice } from '../ops/slice-pad.ts';
import { bytesPerElement, type DType, type Shape, type Spec, sameShape, show, size } from '../shape.ts';
import { applyAll, donate, type Tensor, tensor } from '../tensor.ts';
import {
  arbitrarySamples,
  asType,
  type DrawnInput,
  type DrawnSample,
  dtypeOf,
  specsOf,
} from './arbitrary.ts';
import { describeEachBackend, deviceBackends, referenceBackend, webGpuBackend } from './backends.ts';
import { checkTexts, dependsOnDevice, otherDevices } from './check-texts.ts';
import { expectClose } from './compare.ts';
import { compileTexts, kernelsOnCards } from './compile-texts.ts';
import { readAll, runOpAll, upload } from './run-op.ts';

export interface CheckOptions {
  /** Draws of the inputs of all samples; left out: 12. */
  readonly runs?: number;
}

const dtypes: readonly DType[] = ['f32', 'f16', 'i32', 'u32'];
const quantized: readonly DType[] = ['int8', 'nf4'];
/** How far fused and composed may differ in f64. */
const f64Tolerance = 1e-9;
/** One or two units in the last place of f32. */
const f32Rounding = 2 ** -22;

/**
 * Registers the tests that any op's results must pass, on every backend of this machine: they are those of
 * the f64 reference and of its composition, known values are met, shader texts hold no sizes, wrong inputs
 * are refused by name. Call it at the top of a Vitest file, or inside a `describe`. With the gradient's tests
 * besides it is `checkOp` of `@flex/autograd/testing`.
 */
export function checkForward<A extends object>(definition: Op<A>, { runs = 12 }: CheckOptions = {}): void {
  const op: AnyOp = definition;
  const draws = (numRuns: number) => (f: (samples: readonly DrawnSample[]) => void | Promise<void>) =>
    fc.assert(
      fc.asyncProperty(arbitrarySamples(op), async (samples) => f(samples)),
      { numRuns },
    );
  const everyDraw = draws(runs);
  /** For what depends on shapes and memory more than on numbers. */
  const twoDraws = draws(Math.min(2, runs));

  describe(op.name, () => {
    test('has samples to be tested at', () => {
      if (op.samples.length === 0) throw new Error(`${op.name}: needs at least one sample`);
    });
    test('refuses element types by name, or takes them', () => checkRefusals(op, wrongTypes));
    test('refuses shapes by name, or takes them', () => checkRefusals(op, wrongShapes));

    if (op.kind === 'kernel') {
      test('the host kernel fills every element of the shape that infer gives', () =>
        everyDraw((samples) => {
          for (const sample of samples) checkFills(op, sample);
        }));
      test('sizes and scalars are not in the kernel texts, and a key has one text', () => checkTexts(op));
      test('its texts for graphics cards are shaders', async () => {
        const samples = op.samples as readonly Sample<object>[];
        const calls = [
          ...samples.map((one) => ({ specs: specsOf(op, one), attrs: one.attrs })),
          ...typeVariants(op).map(({ sample: i, dtypes }) => ({
            specs: samples[i].shapes.map((shape, k) => ({ shape, dtype: dtypes[k] })),
            attrs: samples[i].attrs,
          })),
        ];
        await compileTexts(calls.flatMap(({ specs, attrs }) => kernelsOnCards(op, specs, attrs)));
      });
    }
    if (op.kind === 'kernel' && op.donates) {
      describeEachBackend((backend) => {
        test('gives the same in the memory of an input that is given up', () =>
          twoDraws((samples) => checkDonated(backend(), op, samples)));
      });
    }
    if (op.known) {
      describeEachBackend((backend) => {
        test('known values are met', () => checkKnown(backend(), op, op.known!));
      });
    }
    if (isFused(op)) {
      test('equals its composition in f64', () =>
        everyDraw(async (samples) =>
          checkComposed(await referenceBackend.open(), op, samples, f64Tolerance),
        ));
    }
    describeEachBackend((backend) => {
      test('equals the f64 reference, and new numbers compile no kernel', async () => {
        let compiled: number | undefined;
        await everyDraw(async (samples) => {
          await checkAgainstReference(backend(), op, samples);
          compiled ??= backend().stats.pipelines;
          const more = backend().stats.pipelines - compiled;
          if (more > 0) throw new Error(`${op.name}: the same shapes compiled ${more} kernels again`);
        });
      });
      if (isFused(op)) {
        test('equals its composition', () =>
          everyDraw((samples) => checkComposed(backend(), op, samples, 2 * toleranceOf(op))));
      }
      test('takes inputs that are views into larger memory', () =>
        twoDraws((samples) => checkViews(backend(), op, samples)));
      if (typeVariants(op).length > 0) {
        test('takes other element types where infer says so', () =>
          twoDraws((samples) => checkAgainstReference(backend(), op, inOtherTypes(op, samples))));
      }
    }, deviceBackends);
    if (dependsOnDevice(op)) {
      describeEachBackend(
        (backend) => {
          test.each(Object.entries(otherDevices))('equals the f64 reference as written for %s', (_, as) => {
            if (op.kind !== 'kernel') throw new Error(`${op.name} has no kernel`);
            const other: AnyOp = {
              ...op,
              wgsl: (x, y, attrs, device, taken) => op.wgsl(x, y, attrs, as(device), taken),
            };
            return everyDraw((samples) => checkAgainstReference(backend(), other, samples));
          });
        },
        [webGpuBackend],
      );
    }
  });
}

/** A kernel that says what it is made of; a composite is nothing else. */
const isFused = (
  op: AnyOp,
): op is AnyOp & { composed: NonNullable<Extract<AnyOp, { kind: 'kernel' }>['composed']> } =>
  op.kind === 'kernel' && op.composed !== undefined;

/** What f32 justifies at an op's samples, relative to 1 + |value|. */
export function toleranceOf(op: AnyOp): number {
  return op.tolerance ?? 1e-5;
}

async function checkAgainstReference(
  backend: Backend,
  op: AnyOp,
  samples: readonly DrawnSample[],
): Promise<void> {
  const reference = await referenceBackend.open();
  await Promise.all(
    samples.map(async ({ inputs, attrs }) => {
      const [all, wanted] = await Promise.all([
        runOpAll(backend, op, inputs, attrs),
        runOpAll(reference, op, inputs, attrs),
      ]);
      const what = describeCall(op, inputs, attrs);
      all.forEach((got, k) => {
        checkHostType(got.data, got.dtype, what);
        expectClose(got.data, wanted[k].data, isWhole(got.dtype) ? 0 : toleranceOf(op), what, got.shape);
      });
    }),
  );
}

/**
 * Inputs in the middle of larger tensors, with NaN (or a wrong index) on both sides: the results must not
 * change.
 */
async function checkViews(backend: Backend, op: AnyOp, samples: readonly DrawnSample[]): Promise<void> {
  const checks = samples.map(async ({ inputs, attrs }) => {
    const [want, got] = await Promise.all([
      runOpAll(backend, op, inputs, attrs),
      readAll(() =>
        applyAll(
          op,
          inputs.map((input) => viewOf(backend, input)),
          attrs,
        ),
      ),
    ]);
    const what = `${describeCall(op, inputs, attrs)} on views`;
    got.forEach(({ data }, k) => {
      expectClose(data, want[k].data, 0, what, want[k].shape);
    });
  });
  await Promise.all(checks);
}

function viewOf(backend: Backend, { shape, dtype, data }: DrawnInput): Tensor {
  const margin = viewMargin(backend, dtype);
  const n = size(shape);
  const all = new Float64Array(n + 2 * margin).fill(isWhole(dtype) ? unwrittenWhole : Number.NaN);
  all.set(data, margin);
  return reshape(slice(tensor(backend, all, [all.length], dtype), [margin], [n]), shape);
}

/** Elements after which a view may begin. */
const viewMargin = (backend: Backend, dtype: DType): number =>
  Math.max(1, backend.viewAlignment / bytesPerElement[dtype]);

/** Each input in turn given up: the results must not change, and its memory must be used where it can be. */
async function checkDonated(backend: Backend, op: AnyOp, samples: readonly DrawnSample[]): Promise<void> {
  if (op.kind !== 'kernel') return;
  const given = samples.flatMap((sample) => sample.inputs.map((_, i) => ({ ...sample, i })));
  const checks = given.map(async ({ inputs, attrs, i }) => {
    const outputs = outputsOf(op, inputs, attrs);
    const usable = op.donates!(inputs, outputs, attrs).flat().includes(i);
    const what = `${describeCall(op, inputs, attrs)} with input ${i} given up`;
    const want = runOpAll(backend, op, inputs, attrs);
    const got = readAll(() => {
      const tensors = inputs.map((input) => upload(backend, input));
      const { buffer } = tensors[i];
      const results = applyAll(
        op,
        tensors.map((t, k) => (k === i ? donate(t) : t)),
        attrs,
      );
      if (!tensors[i].disposed) throw new Error(`${what}: it was not freed`);
      if (usable !== results.some((t) => t.buffer === buffer)) {
        throw new Error(`${what}: its memory ${usable ? 'was not used' : 'must not be used'}`);
      }
      return results;
    });
    const [wanted, results] = await Promise.all([want, got]);
    results.forEach(({ data }, k) => {
      expectClose(data, wanted[k].data, 0, what, outputs[k].shape);
    });
  });
  await Promise.all(checks);
}

async function checkComposed(
  backend: Backend,
  op: AnyOp,
  samples: readonly DrawnSample[],
  tolerance: number,
) {
  if (!isFused(op)) throw new Error(`${op.name} names no composition`);
  for (const { inputs, attrs } of samples) {
    const fused = await runOpAll(backend, op, inputs, attrs);
    const composed = await readAll(() => {
      const made = op.composed(
        inputs.map((input) => upload(backend, input)),
        attrs,
      );
      return isList(made) ? made : [made];
    });
    const what = `${describeCall(op, inputs, attrs)} against its composition`;
    fused.forEach((got, k) => {
      if (!sameShape(got.shape, composed[k].shape))
        throw new Error(`${what}: ${show(got)} and ${show(composed[k])}`);
      expectClose(got.data, composed[k].data, tolerance, what, got.shape);
    });
  }
}

async function checkKnown(backend: Backend, op: AnyOp, known: readonly Known<object>[]): Promise<void> {
  for (const { inputs, attrs, output } of known) {
    const drawn = inputs.map(({ shape, data }, i): DrawnInput => {
      const dtype = dtypeOf(op, i);
      return { shape, dtype, data: dtype === 'i32' ? Int32Array.from(data) : Float32Array.from(data) };
    });
    const got = await runOpAll(backend, op, drawn, attrs);
    const all = got.flatMap(({ data }) => Array.from(data));
    expectClose(all, output, f32Rounding, `known ${describeCall(op, drawn, attrs)}`);
  }
}

/** Runs the host kernel over memory full of NaN (or of a number no index is), in f64 and in f32. */
function checkFills(op: AnyOp, { inputs, attrs }: DrawnSample): void {
  if (op.kind !== 'kernel') return;
  const outputs = outputsOf(op, inputs, attrs);
  for (const Real of [Float64Array, Float32Array]) {
    const outs = outputs.map(({ shape, dtype }) => {
      const n = size(shape);
      return isWhole(dtype) ? new Int32Array(n).fill(unwrittenWhole) : new Real(n).fill(Number.NaN);
    });
    const data = inputs.map((input) => (input.dtype === 'f32' ? Real.from(input.data) : input.data));
    runOnHost(op.host(inputs, outputs, attrs), data, outs);
    for (const [k, out] of outs.entries()) {
      const gap = out.findIndex((x: number) => Number.isNaN(x) || x === unwrittenWhole);
      if (gap >= 0)
        throw new Error(
          `${describeCall(op, inputs, attrs)} leaves element ${gap} of ${show(outputs[k])} unwritten, or writes NaN`,
        );
    }
  }
}

/** A number that no index is. */
const unwrittenWhole = -(2 ** 31);

function checkHostType(data: HostArray, dtype: DType, what: string): void {
  const wanted = isWhole(dtype) ? (dtype === 'i32' ? Int32Array : Uint32Array) : Float32Array;
  if (!(data instanceof wanted)) throw new Error(`${what}: ${dtype} was read as ${data.constructor.name}`);
}

/** Every way of giving one input another type; every way of making one axis of one input longer. */
function wrongTypes(specs: readonly Spec[]): Spec[][] {
  return specs.flatMap((spec, i) =>
    [...dtypes, ...quantized].map((dtype) => specs.with(i, { ...spec, dtype })),
  );
}

function wrongShapes(specs: readonly Spec[]): Spec[][] {
  return specs.flatMap((spec, i) =>
    spec.shape.map((n, axis) =>
      specs.with(i, { ...spec, shape: (spec.shape as number[]).with(axis, n + 1) }),
    ),
  );
}

function checkRefusals(op: AnyOp, variants: (specs: readonly Spec[]) => Spec[][]): void {
  for (const sample of op.samples) {
    for (const specs of variants(specsOf(op, sample))) {
      const what = describeCall(op, specs, sample.attrs);
      const answer = inferOr(op, specs, sample.attrs);
      if (answer instanceof Error) {
        if (!answer.message.startsWith(`${op.name}: `))
          throw new Error(`${what}: its error does not name it`, { cause: answer });
        if (!['ShapeError', 'DTypeError'].includes(answer.name)) {
          throw new Error(`${what}: must throw a ShapeError or a DTypeError`, { cause: answer });
        }
      } else if (!answer.every(({ shape }) => isShape(shape))) {
        throw new Error(`${what}: infer gives the shapes ${answer.map(show).join(', ')}`);
      }
    }
  }
}

function inferOr(op: AnyOp, specs: readonly Spec[], attrs: object): readonly Spec[] | Error {
  try {
    return outputsOf(op, specs, attrs);
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

function isShape(shape: Shape): boolean {
  return shape.every((n) => Number.isInteger(n) && n >= 0);
}

interface TypeVariant {
  readonly sample: number;
  readonly dtypes: readonly DType[];
}

/**
 * Other element types that infer takes: f16 for as many inputs as it may be at once, and each one that is
 * wrong.
 */
function typeVariants(op: AnyOp): TypeVariant[] {
  return (op.samples as readonly Sample<object>[]).flatMap(({ shapes, attrs }, sample) => {
    const own = shapes.map((_, i) => dtypeOf(op, i));
    const taken = (dtypes: readonly DType[]) =>
      !(
        inferOr(
          op,
          shapes.map((shape, i) => ({ shape, dtype: dtypes[i] })),
          attrs,
        ) instanceof Error
      );
    const single = own.flatMap((_, i) => dtypes.map((dtype) => own.with(i, dtype)));
    const halves = own.reduce(
      (so, dtype, i) => (dtype === 'f32' && taken(so.with(i, 'f16')) ? so.with(i, 'f16') : so),
      own,
    );
    const keys = new Set([halves, ...single].filter(taken).map((types) => types.join()));
    keys.delete(own.join());
    return [...keys].map((key) => ({ sample, dtypes: key.split(',') as DType[] }));
  });
}

/** The samples in other element types, where infer takes them. */
export function inOtherTypes(op: AnyOp, samples: readonly DrawnSample[]): DrawnSample[] {
  return typeVariants(op).map(({ sample, dtypes }) => inTypes(samples[sample], dtypes));
}

function inTypes({ inputs, attrs }: DrawnSample, dtypes: readonly DType[]): DrawnSample {
  return { inputs: inputs.map((input, i) => asType(input, dtypes[i])), attrs };
}

const isWhole = (dtype: DType) => dtype === 'i32' || dtype === 'u32';

/** `add(f32[3], f32[]) {"scalars":[]}`. */
export function describeCall(op: AnyOp, inputs: readonly Spec[], attrs: object): string {
  return `${op.name}(${inputs.map(show).join(', ')}) ${JSON.stringify(attrs)}`;
}
