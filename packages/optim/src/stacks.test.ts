import {
  add,
  type Backend,
  eachTensor,
  empty,
  mul,
  openCounting,
  ordinaryCard,
  scope,
  size,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { describeEachBackend } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adamw } from './adamw.ts';
import { clipByGlobalNorm } from './clip.ts';
import { lion } from './lion.ts';
import type { Optimizer, OptimizerState, Params } from './optimizer.ts';
import { sgd } from './sgd.ts';
import { sophiaG } from './sophia-g.ts';
import { mapStacks, stacksOf } from './stacks.ts';
import { updateRatio } from './update-ratio.ts';

/** Shapes of many sizes: of one, of sizes that no view can begin after, and of those that one can. */
const shapes = fc.array(fc.constantFrom([64], [8, 8], [4, 16, 2], [128], [3], [1], [5, 7]), {
  minLength: 1,
  maxLength: 20,
});

/** Numbers that follow from their places, of both signs. */
const drawn = (backend: Backend, all: readonly (readonly number[])[], seed: number): Map<string, Tensor> =>
  new Map(
    all.map((shape, i) => {
      const data = Array.from({ length: size(shape) }, (_, j) => Math.sin(seed + i + 1.7 * j));
      return [`p${i}`, tensor(backend, data, shape)];
    }),
  );
const numbersOf = async (tensors: ReadonlyMap<string, Tensor>) =>
  new Map(
    await Promise.all(
      [...tensors].map(async ([name, t]) => [name, { shape: t.shape, data: [...(await t.data())] }] as const),
    ),
  );
/** The same numbers in a memory for each tensor, as a checkpoint that is read has them. */
const reloaded = async (backend: Backend, tensors: ReadonlyMap<string, Tensor>) =>
  new Map(
    [...(await numbersOf(tensors))].map(([name, { shape, data }]) => [name, tensor(backend, data, shape)]),
  );

describeEachBackend((backend: () => Backend) => {
  it('f of stacks is f of each tensor, under its name, in the order of names; nothing else stays', () =>
    fc.assert(
      fc.asyncProperty(shapes, fc.boolean(), async (all, kinds) => {
        const [xs, ys] = [drawn(backend(), all, 0), new Map([...drawn(backend(), all, 3)].reverse())];
        const kindOf = kinds ? (name: string) => Number(name.at(-1)) % 2 : undefined;
        const scales: number[] = [];
        const f = ([x, y]: readonly Tensor[], kind: number) => {
          scales.push(kind);
          return add(mul(x, 2 + kind), y);
        };
        const { liveBytes } = backend().stats;
        const made = mapStacks([xs, ys], f, kindOf);
        expect([...made.keys()]).toEqual([...xs.keys()]);
        expect(scales.every((kind) => kind === 0 || kinds)).toBe(true);
        for (const [name, x] of xs) {
          const one = scope(() => f([x, ys.get(name)!], kindOf?.(name) ?? 0));
          expect(made.get(name)!.shape).toEqual(x.shape);
          expect(await made.get(name)!.data()).toEqual(await one.data());
          one.dispose();
        }
        for (const t of made.values()) t.dispose();
        expect(backend().stats.liveBytes).toBe(liveBytes);
        eachTensor([xs, ys], (t) => t.dispose());
      }),
      { numRuns: 8 },
    ));

  it('what lies in stacks is not copied again: a dispatch for each', () => {
    const aligned = backend().viewAlignment;
    const xs = drawn(
      backend(),
      Array(40)
        .fill([[aligned], [2, aligned]])
        .flat(),
      0,
    );
    const twice = ([x]: readonly Tensor[]) => mul(x, 2);
    const first = mapStacks([xs], twice);
    const { dispatches } = backend().stats;
    const second = mapStacks([first], twice);
    expect(backend().stats.dispatches - dispatches).toBe(2);
    eachTensor([xs, first, second], (t) => t.dispose());
  });

  it.each([
    ['adamw', adamw({ weightDecay: 0.1 })],
    ['lion', lion()],
    ['sgd', sgd()],
    ['sophia-g', sophiaG({ every: 2 })],
  ] as [string, Optimizer][])(
    '%s moves parameters together as one by one, and from a saved state as from its own, to the last bit',
    async (_, optimizer) => {
      const all = [[3], [8, 16], [128], [5, 7], [128], [35]];
      const grads = drawn(backend(), all, 2);
      const curvature = drawn(backend(), all, 5);
      const info = (step: number) => ({
        step,
        lr: 0.1,
        // B's rate differs from A's, as LoRA+ has it.
        lrOf: (name: string) => (name === 'p2' ? 0.2 : 0.1),
        ...(step % 2 === 1 && { curvature }),
      });
      const stepped = (params: Params, state: OptimizerState, step: number, only: readonly string[]) => {
        const of = (tensors: Params) => new Map(only.map((name) => [name, tensors.get(name)!]));
        return optimizer.update(of(grads), state, of(params), info(step));
      };
      const names = [...grads.keys()];
      const start = drawn(backend(), all, 1);
      const together = stepped(start, optimizer.init(start), 1, names);
      const alone = names.map((name) => {
        const own = new Map([[name, start.get(name)!]]);
        return stepped(start, optimizer.init(own), 1, [name]);
      });
      const [params, state] = [await numbersOf(together.params), await numbersOf(together.state)];
      expect(params).toEqual(await numbersOf(new Map(alone.flatMap((one) => [...one.params]))));
      for (const one of alone)
        for (const [key, numbers] of await numbersOf(one.state)) expect(state.get(key)).toEqual(numbers);
      const [after, saved] = await Promise.all(
        [together.params, together.state].map((tensors) => reloaded(backend(), tensors)),
      );
      const [going, resumed] = [
        stepped(together.params, together.state, 2, names),
        stepped(after, saved, 2, names),
      ];
      expect(await numbersOf(resumed.params)).toEqual(await numbersOf(going.params));
      expect(await numbersOf(resumed.state)).toEqual(await numbersOf(going.state));
      const sums = async (before: Params, then: Params) => {
        const { norm } = clipByGlobalNorm(then, 1);
        return [await norm.item(), await updateRatio(before, then).item()];
      };
      expect(await sums(after, resumed.params)).toEqual(await sums(together.params, going.params));
    },
  );
});

describe('which tensors are stacked', () => {
  const sizes = (device: Partial<typeof ordinaryCard>, all: readonly (readonly number[])[]) => {
    const backend = openCounting({ ...ordinaryCard, ...device });
    const tensors = all.map((shape, i) => [`p${i}`, empty(backend, { shape, dtype: 'f32' })] as const);
    return stacksOf(new Map(tensors)).map((names) => names.join(' '));
  };

  it('those of one size, in their order, whatever their shapes', () => {
    expect(sizes({}, [[8, 64], [128], [64, 8], [2, 64]])).toEqual(['p0 p2', 'p1 p3']);
  });

  it('none that would have to be copied out again, as no view can begin there', () => {
    expect(sizes({}, [[32], [32]])).toEqual(['p0', 'p1']);
    expect(sizes({ viewAlignment: 128 }, [[32], [32]])).toEqual(['p0 p1']);
  });

  it('as many as a binding and 64 MiB hold; a large one by itself', () => {
    expect(sizes({ maxBindingBytes: 1024 }, [[128], [128], [128]])).toEqual(['p0 p1', 'p2']);
    const [quarter, large] = [[2 ** 22], [2 ** 23 + 64]];
    expect(sizes({}, [quarter, large, quarter, large, quarter, quarter, quarter])).toEqual([
      'p0 p2 p4 p5',
      'p1',
      'p3',
      'p6',
    ]);
  });
});
