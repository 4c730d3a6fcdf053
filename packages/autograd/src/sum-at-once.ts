import { add, eachTensor, mul, scope, type Tensor } from '@flex/tensor';
import { type CompositeOp, onlyRecorder, withoutRecorders } from '@flex/tensor/kernel';
import { pullback } from './pullback.ts';
import { Tape } from './tape.ts';

interface Sum {
  readonly value: Tensor;
  /** By the places of what it was differentiated in. */
  readonly grads: readonly (Tensor | null)[];
}

/**
 * Σ f() over fs, each one number, one after the other. While a gradient is being taken, each one's is taken
 * as soon as it is there: what one of fs makes is free before the next begins, and nothing is left of them
 * but their sum and its gradient, once. Under two recorders, as in Hessian-vector products, it is a plain
 * sum.
 */
export function sumAtOnce(fs: readonly (() => Tensor)[]): Tensor {
  const tape = onlyRecorder();
  if (!(tape instanceof Tape)) return fs.map((f) => scope(f)).reduce((total, value) => add(total, value));
  const xs = [...tape.active];
  const sums = fs.map((f) => (): Sum => pullback(f, xs));
  const { value, grads } = withoutRecorders(() => sums.slice(1).reduce(added, sums[0]()));
  const places = [...xs.keys()].filter((i) => grads[i]);
  const inputs = [...places.map((i) => xs[i]), ...places.map((i) => grads[i]!)];
  tape.record(sumOp(fs, places.length), inputs, [value], {});
  return value;
}

/** The sum so far with the next one in it. */
function added(total: Sum, next: () => Sum): Sum {
  const one = next();
  const grads = (): Sum['grads'] =>
    total.grads.map((g, i) => {
      const more = one.grads[i];
      return g && more ? add(g, more) : (g ?? more);
    });
  const sum = scope(() => ({ value: add(total.value, one.value), grads: grads() }));
  const held = new Set<Tensor>();
  eachTensor(sum, (t) => held.add(t));
  eachTensor([total, one], (t) => {
    if (!held.has(t)) t.dispose();
  });
  return sum;
}

/** A sum whose inputs are what it depends on, and then the gradients in these. */
const sumOp = (fs: readonly (() => Tensor)[], count: number): CompositeOp<object> => ({
  kind: 'composite',
  name: 'sumAtOnce',
  infer: () => ({ shape: [], dtype: 'f32' }),
  composed: () => sumAtOnce(fs),
  vjp: ([g], inputs) => inputs.map((_, i) => (i < count ? () => mul(inputs[count + i], g) : null)),
  samples: [],
});
