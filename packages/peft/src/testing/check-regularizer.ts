import { grad, innerProduct, mapTree, treeLeaves } from '@flex/autograd';
import {
  addScaled,
  type Backend,
  eachTensor,
  type HostArray,
  openReference,
  type Shape,
  scope,
  show,
  size,
  type Tensor,
  tensor,
} from '@flex/tensor';
import type { AdapterPair, Adapters } from '../adapters.ts';
import type { Regularizer } from '../regularizer.ts';

type Require = (holds: boolean, claim: string) => void;

/** Modules of unequal sizes and an odd rank. */
const shapes: Readonly<Record<string, { readonly a: Shape; readonly b: Shape }>> = {
  'model.layers.0.mlp.up_proj': { a: [3, 6], b: [10, 3] },
  'model.layers.0.mlp.down_proj': { a: [3, 10], b: [6, 3] },
};
const steps = [1, 7];

export interface CheckRegularizerOptions {
  /** Where values are checked; the reference backend unless given. */
  readonly backend?: Backend;
  /**
   * For a penalty with a factor that is constant in its gradient: the regularizer with the factor of these
   * weights everywhere, whose differences are to be the gradient there.
   */
  readonly surrogate?: (adapters: Adapters) => Promise<Regularizer>;
}

/**
 * Tests that a regularizer keeps its contract: its penalty is one finite f32 number, the same each time,
 * that leaves the adapter alone and frees what it does not return, also for B = 0; its diagnostics are
 * finite numbers; and its gradient is that of differences, in f64. Throws an Error that says what does not
 * hold.
 */
export async function checkRegularizer(
  regularizer: Regularizer,
  { backend = openReference(), surrogate = async () => regularizer }: CheckRegularizerOptions = {},
): Promise<void> {
  const require: Require = (holds, claim) => {
    if (!holds) throw new Error(`regularizer: ${claim}`);
  };
  for (const bIsZero of [false, true]) {
    const adapters = someAdapters(backend, { bIsZero });
    const before = await numbersOf(adapters);
    for (const step of steps) {
      const value = scope(() => regularizer.penalty(adapters, step));
      require(value.dtype === 'f32' &&
        value.shape.length === 0, `its penalty must be f32[], it is ${show(value)}`);
      const number = await value.item();
      require(Number.isFinite(
        number,
      ), `its penalty must be finite, it is ${number}${bIsZero ? ' where B = 0' : ''}`);
      value.dispose();
      // Measured the second time, since ops may keep tables that they make the first time.
      const live = backend.stats.liveBytes;
      const again = scope(() => regularizer.penalty(adapters, step));
      require(Object.is(await again.item(), number), 'penalty must give the same number each time');
      again.dispose();
      const left = backend.stats.liveBytes - live;
      require(left === 0, `penalty must free what it does not return; ${left} bytes are left`);
      const untouched = treeLeaves(adapters).every((t) => !t.disposed);
      require(untouched && same(before, await numbersOf(adapters)), 'penalty must leave the adapter alone');
    }
    await checkDiagnostics(regularizer, adapters, require);
    eachTensor(adapters, (t) => t.dispose());
  }
  await checkGradient(regularizer, surrogate, require);
}

async function checkDiagnostics(
  regularizer: Regularizer,
  adapters: Adapters,
  require: Require,
): Promise<void> {
  for (const [key, value] of Object.entries((await regularizer.diagnostics?.(adapters)) ?? {})) {
    require(Number.isFinite(value), `its diagnostic ${key} must be a finite number, it is ${value}`);
  }
}

/** ⟨∇L, d⟩ against (L(w + hd) − L(w − hd))/2h, for one direction d. */
async function checkGradient(
  regularizer: Regularizer,
  surrogate: (adapters: Adapters) => Promise<Regularizer>,
  require: Require,
): Promise<void> {
  const backend = openReference();
  const adapters = someAdapters(backend);
  const direction = someAdapters(backend, { phase: 1 });
  const { penalty } = await surrogate(adapters);
  const at = (h: number) =>
    penalty(
      mapTree((w, d) => addScaled(w, d, h), adapters, direction),
      1,
    ).item();
  const gradient = grad((w) => regularizer.penalty(w, 1), adapters);
  const slope = await innerProduct(gradient, direction).item();
  const h = 1e-4;
  const difference = ((await at(h)) - (await at(-h))) / (2 * h);
  const error = Math.abs(slope - difference) / Math.max(1e-3, Math.abs(difference));
  require(error <
    1e-4, `its gradient must be that of its penalty: along one direction ${slope}, not ${difference}`);
}

function someAdapters(backend: Backend, { bIsZero = false, phase = 0 } = {}): Map<string, AdapterPair> {
  let drawn = phase;
  const draw = (shape: Shape, factor: number): Tensor => {
    drawn += 5;
    const value = (_: unknown, i: number) => factor * Math.sin(2.3 * i + drawn);
    return tensor(backend, Float64Array.from({ length: size(shape) }, value), shape);
  };
  const pairs = Object.entries(shapes).map(
    ([path, { a, b }]) => [path, { a: draw(a, 1), b: draw(b, bIsZero ? 0 : 1) }] as const,
  );
  return new Map(pairs);
}

async function numbersOf(adapters: Adapters): Promise<HostArray[]> {
  return Promise.all(treeLeaves(adapters).map((t) => (t.disposed ? new Float32Array() : t.data())));
}

function same(a: readonly HostArray[], b: readonly HostArray[]): boolean {
  return a.every((x, k) => x.length === b[k].length && x.every((value, i) => Object.is(value, b[k][i])));
}
