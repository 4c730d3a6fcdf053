import { DTypeError, ShapeError } from './errors.ts';
import type { Expr } from './expr.ts';
import { defineOp, type KernelOp, type Known, sample, type Vjp } from './op.ts';
import type { RowProgram } from './row-plan.ts';
import { rowKernel, rowLoop } from './row-program.ts';
import { rowWasm } from './row-wasm.ts';
import { type Spec, show } from './shape.ts';

type NoAttrs = Readonly<Record<string, never>>;

/**
 * The op f32 [outer, n, inner] → f32 [outer, inner] that reduces the middle axis as the row program `value`
 * does.
 */
export function reductionOp(
  name: string,
  value: Expr,
  { vjp, known }: { readonly vjp: Vjp<NoAttrs>; readonly known: readonly Known<NoAttrs>[] },
): KernelOp<NoAttrs> {
  const program: RowProgram = { name, kinds: ['row'], values: [value] };
  const rowsOf = ({ shape: [outer, n, inner] }: Spec) => ({
    outer,
    n,
    inner,
    numbers: [],
    period: 0,
    offset: 0,
  });
  return defineOp<KernelOp<NoAttrs>>({
    kind: 'kernel',
    name,
    infer([x]) {
      if (x.dtype !== 'f32') throw new DTypeError(`${name}: needs f32, got ${show(x)}`);
      if (x.shape.length !== 3) throw new ShapeError(`${name}: needs [outer, n, inner], got ${show(x)}`);
      return { shape: [x.shape[0], x.shape[2]], dtype: 'f32' };
    },
    wgsl: ([x], outputs, _, device) => rowKernel(program, rowsOf(x), [x], outputs, device),
    wasm: ([x], outputs) => rowWasm(program, rowsOf(x), [x], outputs),
    host: ([x]) => rowLoop(program, rowsOf(x)),
    vjp,
    samples: ['[1, 1, 1]', '[3, 7, 1]', '[2, 70, 1]', '[2, 3, 5]', '[1, 9, 4]'].map((x) => sample(x, {})),
    known,
  });
}
