import {
  type Backend,
  eachTensor,
  type HostArray,
  openReference,
  scope,
  show,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { adapterName } from '../adapter-names.ts';
import type { Parameters, Regularizer } from '../regularizer.ts';

/** What `valueAndGrad` of `@flex/autograd` is. */
type ValueAndGrad = (
  f: () => Tensor,
  parameters: Parameters,
) => { value: Tensor; grads: Map<string, Tensor> };

export interface CheckRegularizerOptions {
  /** Where the values are checked; the f64 reference unless given. */
  readonly backend?: Backend;
  /** `valueAndGrad` of `@flex/autograd`: with it the gradient is compared with differences, in f64. */
  readonly valueAndGrad?: ValueAndGrad;
}

/** Shapes of two modules' A and B, of unequal sizes and an odd rank. */
const shapes: readonly (readonly [string, readonly [number, number]])[] = [
  [adapterName('model.layers.0.mlp.up_proj', 'A'), [3, 6]],
  [adapterName('model.layers.0.mlp.up_proj', 'B'), [10, 3]],
  [adapterName('model.layers.0.mlp.down_proj', 'A'), [3, 10]],
  [adapterName('model.layers.0.mlp.down_proj', 'B'), [6, 3]],
];
const steps = [1, 7];

/**
 * Tests that a regularizer keeps its contract: its penalty is one finite f32 number, the same each time,
 * that leaves the adapter alone and frees what it does not return, also for B = 0; its diagnostics are
 * finite numbers; its options can be written as JSON; and, given `valueAndGrad`, its gradient is right.
 * Throws an Error that says what does not hold.
 */
export async function checkRegularizer(
  regularizer: Regularizer,
  { backend = openReference(), valueAndGrad }: CheckRegularizerOptions = {},
): Promise<void> {
  const require = (holds: boolean, claim: string): void => {
    if (!holds) throw new Error(`regularizer "${regularizer.name}": ${claim}`);
  };
  require(regularizer.name !== '', 'its name must not be empty');
  JSON.stringify(regularizer.options);

  for (const bIsZero of [false, true]) {
    const adapters = someAdapters(backend, bIsZero);
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
      const untouched = [...adapters.values()].every((t) => !t.disposed);
      require(untouched && same(before, await numbersOf(adapters)), 'penalty must leave the adapter alone');
    }
    await checkDiagnostics(regularizer, adapters, require);
    eachTensor(adapters, (t) => t.dispose());
  }
  if (valueAndGrad) await checkGradient(regularizer, valueAndGrad, require);
}

async function checkDiagnostics(
  regularizer: Regularizer,
  adapters: Parameters,
  require: (holds: boolean, claim: string) => void,
): Promise<void> {
  for (const [key, value] of Object.entries((await regularizer.diagnostics?.(adapters)) ?? {})) {
    require(Number.isFinite(value), `its diagnostic ${key} must be a finite number, it is ${value}`);
  }
}

/** ⟨∇L, d⟩ against (L(w + hd) − L(w − hd))/2h, for one direction d. */
async function checkGradient(
  regularizer: Regularizer,
  valueAndGrad: ValueAndGrad,
  require: (holds: boolean, claim: string) => void,
): Promise<void> {
  const backend = openReference();
  const adapters = someAdapters(backend, false);
  const { grads } = valueAndGrad(() => regularizer.penalty(adapters, 1), adapters);
  const direction = (i: number, k: number) => Math.cos(3 * i + k + 1);
  const at = async (h: number): Promise<number> => {
    const moved = new Map<string, Tensor>();
    for (const [k, [name, t]] of [...adapters].entries()) {
      const values = Float64Array.from(await t.data(), (x, i) => x + h * direction(i, k));
      moved.set(name, tensor(backend, values, t.shape));
    }
    return regularizer.penalty(moved, 1).item();
  };
  let slope = 0;
  for (const [k, name] of [...adapters.keys()].entries()) {
    const values = (await grads.get(name)?.data()) ?? [];
    for (let i = 0; i < values.length; i++) slope += values[i] * direction(i, k);
  }
  const h = 1e-4;
  const difference = ((await at(h)) - (await at(-h))) / (2 * h);
  const error = Math.abs(slope - difference) / Math.max(1e-3, Math.abs(difference));
  require(error <
    1e-4, `its gradient must be that of its penalty: along one direction ${slope}, not ${difference}`);
}

function someAdapters(backend: Backend, bIsZero: boolean): Map<string, Tensor> {
  return new Map(
    shapes.map(([name, shape], k) => {
      const zero = bIsZero && name.includes('lora_B');
      const value = (i: number) => (zero ? 0 : Math.sin(2.3 * i + 5 * k + 0.5));
      return [
        name,
        tensor(
          backend,
          Float64Array.from({ length: shape[0] * shape[1] }, (_, i) => value(i)),
          shape,
        ),
      ];
    }),
  );
}

async function numbersOf(adapters: Parameters): Promise<HostArray[]> {
  return Promise.all([...adapters.values()].map((t) => (t.disposed ? new Float32Array() : t.data())));
}

function same(a: readonly HostArray[], b: readonly HostArray[]): boolean {
  return a.every((x, k) => x.length === b[k].length && x.every((value, i) => Object.is(value, b[k][i])));
}
