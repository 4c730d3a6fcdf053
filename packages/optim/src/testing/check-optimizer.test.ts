import { addScaled, keep, mul, scope, type Tensor } from '@flex/tensor';
import { expect, it } from 'vitest';
import { learningRateOf, type Optimizer } from '../optimizer.ts';
import { checkOptimizer } from './index.ts';

type Update = Optimizer['update'];

const step: Update = (grads, state, params, info) =>
  scope(() => ({
    params: new Map(
      [...params].map(([name, p]) => {
        const lr = learningRateOf(info, name);
        return [name, addScaled(p, grads.get(name) as Tensor, -lr)];
      }),
    ),
    state: new Map([...state].map(([name, t]) => [name, mul(t, 1)])),
  }));

const sgd = (update: Update = step): Optimizer => ({
  lr: 0.1,
  init: (params) => new Map([...params].map(([name, p]) => [`m.${name}`, mul(p, 0)])),
  update,
});

it('a sound optimizer passes', async () => {
  await checkOptimizer(sgd());
});

const broken: [string, Update, string][] = [
  ['whose update goes up', (g, s, p, info) => step(g, s, p, { ...info, lr: -info.lr }), 'must lower'],
  [
    'that has one learning rate for all',
    (g, s, p, { step: count, lr }) => step(g, s, p, { step: count, lr }),
    'the learning rate of each parameter',
  ],
  [
    'that returns a parameter as it was',
    (g, s, p, info) => ({ ...step(g, s, p, info), params: new Map(p) }),
    'new tensors',
  ],
  [
    'that frees the gradients',
    (g, s, p, info) => {
      const after = step(g, s, p, info);
      for (const t of g.values()) t.dispose();
      return after;
    },
    'leave the gradients it is given alone',
  ],
  [
    'that renames its state',
    (g, s, p, info) => {
      const after = step(g, s, p, info);
      return { ...after, state: new Map([...after.state].map(([name, t]) => [`${name}${info.step}`, t])) };
    },
    "keep the state's names and shapes",
  ],
  [
    'that drops a parameter',
    (g, s, p, info) => {
      const after = step(g, s, p, info);
      return { ...after, params: new Map([...after.params].slice(1)) };
    },
    'the same parameters',
  ],
];

it.each(broken)('an optimizer %s does not', async (_, update, claim) => {
  await expect(checkOptimizer(sgd(update))).rejects.toThrow(claim);
});

it('an optimizer that leaves tensors behind does not', async () => {
  const leaky = sgd((g, s, p, info) => {
    for (const t of p.values()) keep(mul(t, 2));
    return step(g, s, p, info);
  });
  await expect(checkOptimizer(leaky)).rejects.toThrow('bytes are left');
});

it('an optimizer that remembers outside its state does not', async () => {
  let calls = 0;
  const hidden = sgd((g, s, p, info) => step(g, s, p, { ...info, lr: info.lr / ++calls }));
  await expect(checkOptimizer(hidden)).rejects.toThrow('the same bytes each time');
});

it('an optimizer whose saved state is not all of it does not', async () => {
  // The rate falls with the updates since `init`, which a resumed run calls again.
  let since = 0;
  const forgetful: Optimizer = {
    ...sgd((g, s, p, info) => step(g, s, p, { ...info, lr: info.lr / ++since })),
    init(params) {
      since = 0;
      return sgd().init(params);
    },
  };
  await expect(checkOptimizer(forgetful)).rejects.toThrow('uninterrupted');
});
