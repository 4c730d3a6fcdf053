import { ConfigError } from '@flex/base';
import { describeShared } from '@flex/fixtures';
import { mul, openReference, type Tensor, tensor } from '@flex/tensor';
import { describeEachBackend, expectClose } from '@flex/tensor/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adamw } from './adamw.ts';
import { lion } from './lion.ts';
import type { Columns, Objective, Optimizer, Params } from './optimizer.ts';
import { sgd } from './sgd.ts';
import { sophiaG } from './sophia-g.ts';
import { sophiaH } from './sophia-h.ts';
import { checkOptimizer } from './testing/index.ts';
import { errorOnRecorded, readRecorded, recordedPath } from './testing/recorded.ts';

describeShared(recordedPath, 'on recorded gradients and curvatures', () => {
  const optionsOf = (kind: 'sophia_gnb' | 'sophia_hutchinson') => {
    const { lr, betas, gamma, eps, weight_decay: weightDecay, update_every: every } = readRecorded()[kind];
    return { lr, betas, gamma, eps, weightDecay, every };
  };
  /** The estimate of an objective whose sampled gradient, or u⊙(H·u) at u = 1, is what was recorded. */
  const estimateOf = (optimizer: Optimizer, scoredTokens: number) => (recorded: Params) =>
    optimizer.curvature!.estimate(
      { scoredTokens, sampledGradient: () => recorded, hessianProduct: (v) => v },
      recorded,
      { seed: 0, step: 1 },
    );
  describeEachBackend((backend) => {
    it('SophiaG equals the reference after each of 15 updates', async () => {
      const optimizer = sophiaG(optionsOf('sophia_gnb'));
      const estimate = estimateOf(optimizer, readRecorded().sophia_gnb.batch_tokens);
      expect(await errorOnRecorded(backend(), 'sophia_gnb', optimizer, estimate)).toBeLessThan(1e-6);
    });
    it('SophiaH equals the reference after each of 15 updates', async () => {
      const optimizer = sophiaH(optionsOf('sophia_hutchinson'));
      expect(await errorOnRecorded(backend(), 'sophia_hutchinson', optimizer)).toBeLessThan(1e-6);
    });
  });
});

describeEachBackend((backend) => {
  it('Sophia takes two dispatches a stack where no curvature is due, and two a share', async () => {
    const optimizer = sophiaG();
    let params: Params = new Map([['p', tensor(backend(), [1, 2, 3, 4], [4])]]);
    let state = optimizer.init(params);
    const counts: number[] = [];
    for (let step = 1; step <= 3; step++) {
      const { dispatches } = backend().stats;
      const info = { step, lr: 0.1, ...(step === 1 && { curvature: params }) };
      ({ params, state } = optimizer.update(params, state, params, info));
      await params.get('p')!.data();
      counts.push(backend().stats.dispatches - dispatches);
    }
    // Two refresh h and count its change.
    expect(counts).toEqual([10, 6, 6]);
  });

  it.each([
    ['sophia-g', sophiaG({ lr: 0.05 })],
    ['sophia-h', sophiaH({ lr: 0.05, biasCorrection: true, weightDecay: 0.1 })],
    ['sophia-h at every update', sophiaH({ every: 1 })],
    ['lion', lion({ lr: 0.05 })],
    ['sgd', sgd()],
  ])('%s keeps the contract of optimizers', async (_, optimizer) => {
    await checkOptimizer(optimizer, backend());
  });
});

const backend = openReference();
const of = (numbers: readonly number[]): Params =>
  new Map([['p', tensor(backend, numbers, [numbers.length])]]);
const numbersOf = async (params: Params): Promise<number[]> => Array.from(await params.get('p')!.data());

interface Told {
  readonly g: readonly number[];
  readonly h?: readonly number[];
}

/** The parameters after updates on given gradients and estimates of curvature, at a rate of 0.1. */
async function after(
  optimizer: Optimizer,
  start: readonly number[],
  told: readonly Told[],
): Promise<number[]> {
  let params: Params = of(start);
  let state = optimizer.init(params);
  for (const [i, { g, h }] of told.entries()) {
    const info = { step: i + 1, lr: 0.1, ...(h && { curvature: of(h) }) };
    ({ params, state } = optimizer.update(of(g), state, params, info));
  }
  return numbersOf(params);
}

/** Four multiples of 1/64, from a least one to 4: sums and doubles of them are exact. */
const reals = (least: number) =>
  fc
    .array(fc.integer({ min: 64 * least, max: 256 }), { minLength: 4, maxLength: 4 })
    .map((ns) => ns.map((n) => n / 64));
/** Three updates of four parameters. */
const updates = fc.array(fc.record({ g: reals(-4), h: reals(1 / 64) }), { minLength: 3, maxLength: 3 });
const check = (f: (start: number[], told: readonly Told[]) => Promise<void>) =>
  fc.assert(fc.asyncProperty(reals(-4), updates, f), { numRuns: 30 });
const scaled = (told: readonly Told[], byG: number, byH: number) =>
  told.map(({ g, h = [] }) => ({ g: g.map((x) => byG * x), h: h.map((x) => byH * x) }));

describe('laws', () => {
  it('Sophia is its formula', () =>
    check(async (start, told) => {
      const [beta1, beta2, gamma, eps, decay] = [0.965, 0.99, 0.05, 1e-12, 0.3];
      const optimizer = sophiaG({ every: 2, weightDecay: decay });
      const want = start.map((p0, j) => {
        let [p, m, h] = [p0, 0, 0];
        for (const [i, step] of told.entries()) {
          m = beta1 * m + (1 - beta1) * step.g[j];
          if (i % 2 === 0) h = beta2 * h + (1 - beta2) * step.h![j];
          const ratio = m / Math.max(gamma * h, eps);
          p = p * (1 - 0.1 * decay) - 0.1 * Math.min(1, Math.max(-1, ratio));
        }
        return p;
      });
      expectClose(await after(optimizer, start, told), want, 1e-12);
    }));

  it('a loss times c, its Hessian with it, leaves the steps of both Sophias: they are Newton’s', () =>
    check(async (start, told) => {
      for (const optimizer of [sophiaG({ every: 1, eps: 1e-30 }), sophiaH({ every: 1, eps: 1e-30 })])
        expectClose(
          await after(optimizer, start, scaled(told, 7, 7)),
          await after(optimizer, start, told),
          1e-9,
        );
    }));

  it('gradients alone times c make the steps c times as long, where none is clipped', () =>
    check(async (start, told) => {
      const optimizer = sophiaG({ every: 1, gamma: 1e6, weightDecay: 0 });
      const moves = async (byG: number) =>
        (await after(optimizer, start, scaled(told, byG, 1))).map((x, j) => x - start[j]);
      expectClose(
        await moves(2),
        (await moves(1)).map((x) => 2 * x),
        1e-9,
      );
    }));

  it('where the curvature is 0 or below, Sophia is signed momentum', () =>
    check(async (start, told) => {
      const flat = told.map(({ g, h = [] }) => ({ g, h: h.map((x) => -x) }));
      let m = [0, 0, 0, 0];
      const want = [...start];
      for (const { g } of told) {
        m = m.map((x, j) => 0.965 * x + 0.035 * g[j]);
        for (const [j, x] of m.entries()) want[j] -= 0.1 * Math.min(1, Math.max(-1, x / 1e-12));
      }
      expectClose(await after(sophiaH({ every: 1, weightDecay: 0 }), start, flat), want, 1e-12);
    }));

  it('with bias correction one estimate counts whole', () =>
    check(async (start, told) => {
      // β2ᵏ in h's mean and in its correction meet: γ·h is γ·ĥ itself.
      const [first] = told;
      const optimizer = sophiaG({ every: 10, biasCorrection: true, weightDecay: 0 });
      const want = start.map((p, j) => {
        const ratio = (0.035 * first.g[j]) / Math.max(0.05 * first.h![j], 1e-12);
        return p - 0.1 * Math.min(1, Math.max(-1, ratio));
      });
      expectClose(await after(optimizer, start, [first]), want, 1e-12);
    }));

  it('Lion is the sign of its mean: no scale of the gradients changes it, and each step is lr', () =>
    check(async (start, told) => {
      const optimizer = lion({ weightDecay: 0 });
      const moved = await after(optimizer, start, told);
      expectClose(await after(optimizer, start, scaled(told, 1024, 1)), moved, 1e-12);
      const [first] = told;
      const want = start.map((p, j) => p - 0.1 * Math.sign(first.g[j]));
      expectClose(await after(optimizer, start, [first]), want, 1e-12);
    }));

  it('SGD without momentum is plain, and with it sums the gradients by powers of μ', () =>
    check(async (start, told) => {
      const plain = start.map((p, j) => told.reduce((at, { g }) => at - 0.1 * g[j], p));
      expectClose(await after(sgd({ momentum: 0 }), start, told), plain, 1e-12);
      const [g1, g2, g3] = told.map(({ g }) => g);
      const heavy = start.map((p, j) => p - 0.1 * (g1[j] * (1 + 0.5 + 0.25) + g2[j] * (1 + 0.5) + g3[j]));
      expectClose(await after(sgd({ momentum: 0.5 }), start, told), heavy, 1e-12);
    }));

  it('weight decay is decoupled: a parameter shrinks by lr·weightDecay whatever its gradient', () =>
    check(async (start, told) => {
      const [first] = told;
      for (const make of [adamw, sophiaG, sophiaH, lion, sgd]) {
        const [with_, without] = await Promise.all(
          [0.5, 0].map((weightDecay) => after(make({ weightDecay }), start, [first])),
        );
        const shrunk = without.map((x, j) => x - 0.1 * 0.5 * start[j]);
        expectClose(with_, shrunk, 1e-12, make.name);
      }
    }));
});

describe('what Sophia asks for and tells', () => {
  const objective: Objective = {
    scoredTokens: 6,
    sampledGradient: () => of([1, -2, 3]),
    hessianProduct: (v) => new Map([['p', mul(v.get('p') as Tensor, tensor(backend, [5, -4, 3], [3]))]]),
  };
  const at = { seed: 3, step: 1 };

  it('SophiaG estimates B·ĝ⊙ĝ', async () => {
    const estimate = sophiaG().curvature!.estimate(objective, of([0, 0, 0]), at);
    expect(await numbersOf(estimate)).toEqual([6, 24, 54]);
  });

  it('SophiaH estimates u⊙(H·u), which of a diagonal H is the diagonal at every draw', async () => {
    const { estimate } = sophiaH().curvature!;
    for (let step = 1; step <= 5; step++)
      expect(await numbersOf(estimate(objective, of([0, 0, 0]), { seed: 3, step }))).toEqual([5, -4, 3]);
  });

  it('u is −1 or 1, each of half the draws, another at every update and with every seed', async () => {
    const n = 4096;
    const zeros = new Array<number>(n).fill(0);
    const drawn = async (seed: number, step: number) => {
      let u: Promise<number[]> | undefined;
      const spy = (v: Params) => {
        u = numbersOf(v);
        return v;
      };
      sophiaH().curvature!.estimate({ ...objective, hessianProduct: spy }, of(zeros), { seed, step });
      return u!;
    };
    const draws = await Promise.all([drawn(0, 1), drawn(0, 11), drawn(1, 1), drawn(0, 1)]);
    for (const u of draws) {
      expect(new Set(u)).toEqual(new Set([-1, 1]));
      // Six standard deviations.
      expect(Math.abs(u.reduce((sum, x) => sum + x, 0))).toBeLessThan(6 * Math.sqrt(n));
    }
    expect(draws[3]).toEqual(draws[0]);
    for (const other of [draws[1], draws[2]])
      expect(Math.abs(other.reduce((sum, x, j) => sum + x * draws[0][j], 0))).toBeLessThan(6 * Math.sqrt(n));
  });

  it('an update that the curvature is due for is refused without it', () => {
    const optimizer = sophiaG();
    const p = of([1]);
    const update = (step: number) => optimizer.update(p, optimizer.init(p), p, { step, lr: 1 });
    expect(() => update(11)).toThrow(
      'sophia-g: update 11 needs the estimate of the curvature in p, info.curvature',
    );
    expect(() => update(12)).not.toThrow();
  });

  it('tells the shares of coordinates that are not clipped, without curvature, and unchanged', async () => {
    const optimizer = sophiaG({ every: 2, betas: [0, 0.5], gamma: 1 });
    const tell = async (state: Params, step: number, g: number[], h?: number[]) => {
      const info = { step, lr: 0.1, ...(h && { curvature: of(h) }) };
      const { diagnostics = new Map(), ...moved } = optimizer.update(of(g), state, of([1, 1, 1, 1]), info);
      const told = [...diagnostics].map(async ([name, t]) => [name, await t.item()]);
      return { told: Object.fromEntries(await Promise.all(told)), state: moved.state };
    };
    // h becomes [1, 2, 0, −1]: of m = g the first is held at 1, of the others only 1.9 < 2 is not.
    const first = await tell(optimizer.init(of([1, 1, 1, 1])), 1, [1, 1.9, 5, 5], [2, 4, 0, -2]);
    expect(first.told).toEqual({ win_rate: 0.25, h_zero: 0.5, h_unchanged: 0.25 });
    const second = await tell(first.state, 2, [0.5, 1.9, 0, 1]);
    expect(second.told).toEqual({ win_rate: 0.75, h_zero: 0.5 });
  });
});

describe('health in words', () => {
  const { health } = sophiaG();
  const run = (count: number, line: Columns) => Array.from({ length: count }, () => line);
  const well = { win_rate: 0.3, h_zero: 0, h_unchanged: 0 };
  const cases: [string, Columns, RegExp][] = [
    ['clipped', { ...well, win_rate: 0.001 }, /^over 99 % of coordinates .* sign momentum; raise gamma/],
    ['free', { ...well, win_rate: 1 }, /^under 1 % of coordinates .* lower gamma$/],
    ['still', { ...well, h_unchanged: 1 }, /^h has not changed for 50 updates/],
    ['flat', { ...well, h_zero: 0.9 }, /^more than half of h was 0 or below/],
  ];

  it.each(cases)(
    '%s for fifty updates is said, for less or with one that is well it is not',
    (_, ill, words) => {
      expect(health!(ill, run(49, ill))).toEqual([expect.stringMatching(words)]);
      expect(health!(ill, run(48, ill))).toEqual([]);
      expect(health!(well, run(99, ill))).toEqual([]);
      expect(health!(ill, [...run(30, ill), well, ...run(48, ill)])).toEqual([]);
    },
  );

  it('a line without the column is not a symptom, but for a curvature that is never refreshed', () => {
    expect(health!({}, run(99, {}))).toEqual([expect.stringMatching(/^h has not changed/)]);
    expect(health!({ ...well, win_rate: null }, run(99, { ...well, win_rate: null }))).toEqual([]);
  });
});

it('options out of range are refused', () => {
  const wrong: [() => Optimizer, string][] = [
    [() => sophiaG({ gamma: 0 }), 'sophia-g: gamma'],
    [() => sophiaH({ every: 1.5 }), 'sophia-h: every'],
    [() => sophiaH({ betas: [1, 0] }), 'sophia-h: betas'],
    [() => lion({ lr: 0 }), 'lion: lr'],
    [() => sgd({ momentum: 1 }), 'sgd: momentum'],
  ];
  for (const [make, message] of wrong) {
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  }
});
