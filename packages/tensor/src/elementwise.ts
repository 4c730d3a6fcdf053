import { DTypeError } from './errors.ts';
import {
  type Domain,
  defineOp,
  type GpuJsKernel,
  type Known,
  type Op,
  type Thunks,
  type WgslKernel,
} from './op.ts';
import { broadcastTo, sumTo } from './ops/sum.ts';
import { broadcastShapes, type Shape, type Spec, sameShape, showAll, size } from './shape.ts';
import { apply, type Tensor } from './tensor.ts';
import { grid1d, load, load4, shader, storageType } from './wgsl.ts';

/**
 * How an input's element follows from the output's index j: the same one; the only one; j mod n (the input is
 * a suffix of the output, as a bias is); or j div n (one value for each n neighbours, as a row's norm is).
 */
type Access = 'same' | 'only' | 'suffix' | 'prefix';

const names = ['x', 'y', 'z', 'w'];

export interface ElementwiseDef {
  /** Expression in x, y, z, w (vec4f) and the scalars. */
  readonly wgsl: string;
  /** The same in JavaScript, for one element. */
  readonly js: string;
  /** Names of f32 numbers given at each call. */
  readonly scalars?: readonly string[];
  /** Gradients of the output's shape; broadcasting is undone around them. Otherwise as in an Op. */
  readonly vjp:
    | ((g: Tensor, inputs: readonly Tensor[], output: Tensor, scalars: readonly number[]) => Thunks)
    | 'composed'
    | null;
  readonly composed?: Op<ElementwiseAttrs>['composed'];
  readonly known?: readonly Known<ElementwiseAttrs>[];
  readonly domains?: readonly (Domain | undefined)[];
  /** Scalars the generated tests use. */
  readonly testScalars?: readonly number[];
  readonly tolerance?: number;
}

export interface ElementwiseAttrs {
  readonly scalars: readonly number[];
}

/**
 * An op that computes each output element from the elements at the same place, f32 (or f16, widened) to f32.
 * Inputs broadcast as in NumPy. Returns the function that runs it.
 */
export function elementwise(name: string, arity: number, def: ElementwiseDef) {
  const scalarNames = def.scalars ?? [];
  const kernelText = textCache(name, arity, def);
  const op = defineOp<ElementwiseAttrs>({
    name,
    infer(inputs) {
      if (inputs.length !== arity || inputs.some((t) => t.dtype !== 'f32' && t.dtype !== 'f16')) {
        throw new DTypeError(`${name}: needs ${arity} inputs of f32 or f16, got ${showAll(inputs)}`);
      }
      return { shape: broadcastShapes(name, inputs), dtype: 'f32' };
    },
    wgsl(inputs, output, { scalars }): WgslKernel {
      const n = size(output.shape);
      const plans = inputs.map((t) => accessOf(t, output));
      return {
        code: kernelText(inputs, plans),
        workgroups: grid1d(Math.ceil(n / 4), 64),
        immediates: [n, ...plans.map((a) => a.n), ...scalars.map((f32) => ({ f32 }))],
      };
    },
    gpujs(inputs, output, { scalars }): GpuJsKernel {
      const plans = inputs.map((t) => accessOf(t, output));
      const args = names.slice(0, arity);
      const index = {
        same: 'i',
        only: '0',
        suffix: (v: string) => `i % n${v}`,
        prefix: (v: string) => `Math.floor(i / n${v})`,
      };
      const at = (v: string, access: Access) => {
        const text = index[access];
        return typeof text === 'string' ? text : text(v);
      };
      return {
        code: `function (${[...args.map((v) => `${v}s`), ...args.map((v) => `n${v}`), ...scalarNames].join(', ')}) {
  const i = this.thread.x;
  ${args.map((v, k) => `const ${v} = ${v}s[${at(v, plans[k].access)}];`).join('\n  ')}
  return ${def.js};
}`,
        threads: [size(output.shape)],
        args: [...plans.map((a) => a.n), ...scalars],
      };
    },
    vjp: vjpOf(def),
    composed: def.composed,
    samples: sampleShapes(arity).map((shapes) => ({ shapes, attrs: { scalars: def.testScalars ?? [] } })),
    known: def.known,
    domains: def.domains,
    tolerance: def.tolerance,
  });
  /** Inputs first, then the scalars in their order. */
  return (inputs: readonly Tensor[], scalars: readonly number[] = []): Tensor => {
    const shape = op.infer(inputs, { scalars }).shape;
    const ready = inputs.map((t) => (accessKind(t.shape, shape) ? t : broadcastTo(t, shape)));
    return apply(op, ready, { scalars });
  };
}

/** A gradient of the output's shape, summed down to the input's. */
function narrowed(g: Tensor | null, shape: Shape): Tensor | null {
  return g && sumTo(g, shape);
}

function vjpOf({ vjp }: ElementwiseDef): Op<ElementwiseAttrs>['vjp'] {
  if (typeof vjp !== 'function') return vjp;
  return (g, inputs, output, { scalars }) =>
    vjp(g, inputs, output, scalars).map((thunk, i) => thunk && (() => narrowed(thunk(), inputs[i].shape)));
}

interface AccessPlan {
  readonly access: Access;
  /** The n of suffix and prefix. */
  readonly n: number;
}

/** How an input of this shape is read for an output of that one; null when none of the four ways does. */
function accessKind(shape: Shape, output: Shape): AccessPlan | null {
  if (size(shape) === 1) return { access: 'only', n: 0 };
  if (size(shape) === size(output)) return { access: 'same', n: 0 };
  const lead = output.length - shape.length;
  const padded = output.map((_, i) => (i < lead ? 1 : shape[i - lead]));
  const first = padded.findIndex((n) => n !== 1);
  if (sameShape(padded.slice(first), output.slice(first))) return { access: 'suffix', n: size(shape) };
  const last = padded.findLastIndex((n) => n !== 1);
  if (sameShape(padded.slice(0, last + 1), output.slice(0, last + 1))) {
    return { access: 'prefix', n: size(output) / size(shape) };
  }
  return null;
}

function accessOf(input: Spec, output: Spec): AccessPlan {
  const plan = accessKind(input.shape, output.shape);
  if (!plan) throw new Error(`elementwise: expand ${showAll([input, output])} first`);
  return plan;
}

/** The shader's text for each way its inputs can be stored and read; sizes and scalars are not part of it. */
function textCache(name: string, arity: number, def: ElementwiseDef) {
  const texts = new Map<string, string>();
  return (inputs: readonly Spec[], plans: readonly AccessPlan[]): string => {
    const wide = plans.map(
      (plan) => plan.access === 'same' || (plan.access === 'suffix' && plan.n % 4 === 0),
    );
    const splat = plans.map((plan) => plan.access === 'prefix' && plan.n % 4 === 0);
    const key = inputs.map((t, k) => `${t.dtype} ${plans[k].access} ${wide[k]} ${splat[k]}`).join();
    let text = texts.get(key);
    if (!text) {
      const args = names.slice(0, arity);
      const read = (v: string, k: number): string => {
        const { dtype } = inputs[k];
        const { access } = plans[k];
        if (access === 'same') return load4(`${v}s`, dtype, 'flat');
        if (access === 'only') return `vec4f(${load(`${v}s`, dtype, '0u')})`;
        if (wide[k]) return load4(`${v}s`, dtype, `flat % (p.n${v} / 4u)`);
        if (splat[k]) return `vec4f(${load(`${v}s`, dtype, `flat / (p.n${v} / 4u)`)})`;
        const sign = access === 'suffix' ? '%' : '/';
        return `vec4f(${[0, 1, 2, 3].map((c) => load(`${v}s`, dtype, `(4u * flat + ${c}u) ${sign} p.n${v}`)).join(', ')})`;
      };
      text = shader({
        inputs: args.map((v, k) => `${v}s: ${storageType(inputs[k].dtype, wide[k] ? 4 : 1)}`),
        output: 'out: vec4f',
        params: ['n: u32', ...args.map((v) => `n${v}: u32`), ...(def.scalars ?? []).map((s) => `${s}: f32`)],
        workgroup: 64,
        body: `  if (4u * flat >= p.n) { return; }
${(def.scalars ?? []).map((s) => `  let ${s} = p.${s};`).join('\n')}
${args.map((v, k) => `  let ${v} = ${read(v, k)};`).join('\n')}
  out[flat] = ${def.wgsl};`,
      });
      texts.set(key, `// ${name}\n${text}`);
    }
    return texts.get(key)!;
  };
}

/**
 * Shapes for the generated tests: every way of broadcasting, sizes that are and are not multiples of four.
 */
function sampleShapes(arity: number): Shape[][] {
  const alike = [[], [1], [7], [3, 5], [2, 3, 4]].map((shape) => new Array<Shape>(arity).fill(shape));
  if (arity === 1) return alike;
  const mixed = (
    [
      [[3, 8], [8]],
      [[3, 5], [5]],
      [
        [3, 8],
        [3, 1],
      ],
      [
        [4, 3],
        [4, 1],
      ],
      [[2, 4], []],
    ] as const
  ).flatMap(([a, b]) => [
    [a, b],
    [b, a],
  ]);
  return [...alike, ...mixed.map((pair) => [...pair, ...new Array<Shape>(arity - 2).fill(pair[0])])];
}
