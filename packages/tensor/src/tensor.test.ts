import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  add,
  type Backend,
  keep,
  mul,
  neg,
  openReference,
  reshape,
  scope,
  type Tensor,
  tensor,
  tensorFromChunks,
} from './index.ts';
import { describeEachBackend, expectClose } from './testing/index.ts';

const counting = (backend: Backend, n = 100): Tensor =>
  tensor(
    backend,
    Float32Array.from({ length: n }, (_, i) => i),
    [n],
  );

describeEachBackend((backend) => {
  /** Bytes that f leaves in use. */
  const growth = (f: () => void): number => {
    const before = backend().stats.liveBytes;
    f();
    return backend().stats.liveBytes - before;
  };
  /** Bytes one `counting` takes on this backend. */
  const one = (): number => {
    let x: Tensor | undefined;
    const bytes = growth(() => {
      x = counting(backend());
    });
    x?.dispose();
    return bytes;
  };

  test('a scope frees what it does not return', async () => {
    const bytes = one();
    let result: Tensor | undefined;
    const left = growth(() => {
      result = scope(() => {
        const x = counting(backend());
        return add(neg(x), mul(x, 3));
      });
    });
    expect(left).toBe(bytes);
    expect((await result!.data())[7]).toBe(14);
    expect(growth(() => result!.dispose())).toBe(-bytes);
  });

  test('a scope keeps tensors in arrays, Maps and plain objects, and hands them to the scope around', () => {
    const bytes = one();
    const left = growth(() =>
      scope(() => {
        const make = () => counting(backend());
        const inner = growth(() =>
          scope(() => {
            make();
            return { list: [make(), [make()]], map: new Map([['a', make()]]) };
          }),
        );
        expect(inner).toBe(3 * bytes);
      }),
    );
    expect(left).toBe(0);
  });

  test('a scope whose function throws or is asynchronous frees everything', () => {
    const left = growth(() => {
      const failing = () => {
        counting(backend());
        throw new Error('inside');
      };
      expect(() => scope(failing)).toThrow('inside');
      const asynchronous = async () => counting(backend());
      expect(() => void scope(asynchronous)).toThrow('must not be asynchronous');
    });
    expect(left).toBe(0);
  });

  test('what is kept outlives every scope, until it is disposed', () => {
    let kept: Tensor | undefined;
    const left = growth(() =>
      scope(() =>
        scope(() => {
          kept = keep(counting(backend()));
        }),
      ),
    );
    expect(left).toBe(one());
    expect(growth(() => kept!.dispose())).toBe(-one());
  });

  test('a tensor used after it was freed says so; freeing twice is harmless', async () => {
    const x = counting(backend());
    x.dispose();
    expect(growth(() => x.dispose())).toBe(0);
    expect(x.disposed).toBe(true);
    expect(() => neg(x)).toThrow('f32[100] was used after it was freed; return it from its scope');
    expect(() => x.data()).toThrow('was used after it was freed');
  });

  test('a view shares memory, which lives as long as either', async () => {
    for (const viewFirst of [true, false]) {
      const x = counting(backend());
      let view: Tensor | undefined;
      expect(growth(() => (view = reshape(x, [10, 10])))).toBe(0);
      const [first, second] = viewFirst ? [view!, x] : [x, view!];
      expect(growth(() => first.dispose())).toBe(0);
      expect((await second.data())[42]).toBe(42);
      expect(growth(() => second.dispose())).toBe(-one());
    }
  });

  test('a view returned from a scope keeps its memory, without the tensor it was made of', async () => {
    const view = scope(() => reshape(counting(backend()), [4, 25]));
    expect([...(await view.data()).slice(0, 3)]).toEqual([0, 1, 2]);
    expect(growth(() => view.dispose())).toBe(-one());
  });

  test('the peak is the most that lived at once', () => {
    const bytes = one();
    const { stats } = backend();
    backend().resetPeak();
    const before = stats.liveBytes;
    scope(() => {
      for (let i = 0; i < 5; i++) scope(() => neg(neg(counting(backend()))));
    });
    // Five results live at the end; the last inner scope held its own two besides.
    expect(stats.peakBytes - before).toBe(7 * bytes);
    backend().resetPeak();
    expect(stats.peakBytes).toBe(before);
  });

  test('memory stays flat over repeated work, freed memory being used again', async () => {
    const work = async () => {
      const y = scope(() => add(neg(counting(backend(), 1000)), counting(backend(), 1000)));
      await y.data();
      y.dispose();
    };
    await work();
    const { liveBytes, reservedBytes } = backend().stats;
    for (let i = 0; i < 50; i++) await work();
    expect(backend().stats).toMatchObject({ liveBytes, reservedBytes });
  });

  test('numbers come back as they went in, whole and in chunks', async () => {
    const numbers = Float32Array.from({ length: 1000 }, (_, i) => Math.fround(Math.sin(i)));
    const chunks = [numbers.subarray(0, 300), numbers.subarray(300, 301), numbers.subarray(301)];
    const whole = tensor(backend(), numbers, [1000]);
    const pieces = tensorFromChunks(backend(), { shape: [10, 100], dtype: 'f32' }, chunks);
    expectClose(await whole.data(), numbers, 0);
    expectClose(await pieces.data(), numbers, 0);
    for (const dtype of ['i32', 'u32'] as const) {
      const x = tensor(backend(), [0, 1, 2_000_000_000], [3], dtype);
      expect([...(await x.data())]).toEqual([0, 1, 2_000_000_000]);
      x.dispose();
    }
    const half = tensor(backend(), [1 / 3, -65504, 0], [3], 'f16');
    expect([...(await half.data())]).toEqual([0.333251953125, -65504, 0]);
    for (const t of [whole, pieces, half]) t.dispose();
  });
});

describe('reference', () => {
  test('live bytes are those of the memory still owned, whatever is made, viewed and freed in any order', () => {
    const command = fc.record({ kind: fc.constantFrom('make', 'view', 'free'), pick: fc.nat() });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const backend = openReference();
        const alive: { readonly t: Tensor; readonly memory: number }[] = [];
        commands.forEach(({ kind, pick }, memory) => {
          const at = pick % Math.max(1, alive.length);
          const found = alive.at(at);
          if (kind === 'make') alive.push({ t: tensor(backend, new Float32Array(12), [12]), memory });
          else if (found && kind === 'view')
            alive.push({
              t: reshape(found.t, [[3, 4], [12]][found.t.shape.length - 1]),
              memory: found.memory,
            });
          else if (found) alive.splice(at, 1)[0].t.dispose();
          expect(backend.stats.liveBytes).toBe(48 * new Set(alive.map((entry) => entry.memory)).size);
        });
      }),
    );
  });

  test('inputs of two backends are refused', () => {
    const [a, b] = [openReference(), openReference()].map((backend) => counting(backend));
    expect(() => add(a, b)).toThrow('add: inputs are on reference and reference');
  });

  test('numbers that do not fill a shape are refused', () => {
    const backend = openReference();
    expect(() => tensor(backend, [1, 2, 3], [2, 2])).toThrow('tensor: 3 numbers do not fill f32[2, 2]');
    const chunks = [new Float32Array(3)];
    expect(() => tensorFromChunks(backend, { shape: [2, 2], dtype: 'f32' }, chunks)).toThrow(
      '3 numbers do not fill',
    );
  });

  test('item needs one element', async () => {
    const backend = openReference();
    expect(await tensor(backend, [7], [1, 1]).item()).toBe(7);
    await expect(counting(backend).item()).rejects.toThrow('item: needs one element, got f32[100]');
  });
});
