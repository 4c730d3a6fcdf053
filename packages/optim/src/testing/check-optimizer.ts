import {
  type Backend,
  eachTensor,
  type HostArray,
  openReference,
  sameSpec,
  scope,
  show,
  type Tensor,
  tensor,
} from '@flex/tensor';
import type { Optimizer, OptimizerState, Params } from '../optimizer.ts';

const steps = 6;
const shapes: Readonly<Record<string, readonly number[]>> = { 'a.weight': [3, 5], 'b.weight': [7] };
/** Where the quadratic ½Σ(p − target)² of the tests has its minimum. */
const target = 0.25;

/** The parameters and the state after some updates, as numbers. */
interface Snapshot {
  readonly params: ReadonlyMap<string, HostArray>;
  readonly state: ReadonlyMap<string, HostArray>;
}

/**
 * Tests that an optimizer keeps its contract, on the f64 reference backend unless another is given: an
 * update gives the same bytes each time, leaves parameters and gradients alone, makes new tensors of the same
 * names and shapes, keeps the names of its state, frees what it does not return, goes on from saved state as
 * if it had never stopped, and lowers a quadratic with its own learning rate. Throws an Error that says which
 * of these does not hold.
 */
export async function checkOptimizer(
  optimizer: Optimizer,
  backend: Backend = openReference(),
): Promise<void> {
  const require = (holds: boolean, claim: string): void => {
    if (!holds) throw new Error(`optimizer: ${claim}`);
  };
  require(optimizer.lr > 0, `its lr must be above 0, got ${optimizer.lr}`);

  await checkOneUpdate(optimizer, backend, require);

  const whole = await run(optimizer, backend, start(), 1, steps);
  const again = await run(optimizer, backend, start(), 1, steps);
  require(same(whole, again), 'the same updates must give the same bytes each time');

  const half = await run(optimizer, backend, start(), 1, steps / 2);
  const resumed = await run(optimizer, backend, half, steps / 2 + 1, steps);
  require(same(whole, resumed), 'updates from saved parameters and state must equal uninterrupted ones');

  const [before, after] = [loss(start().params), loss(whole.params)];
  require(after <
    before, `${steps} updates must lower ½Σ(p − ${target})², it went from ${before} to ${after}`);
}

async function checkOneUpdate(
  optimizer: Optimizer,
  backend: Backend,
  require: (holds: boolean, claim: string) => void,
): Promise<void> {
  const { lr } = optimizer;
  const live = backend.stats.liveBytes;
  const params = upload(backend, start().params);
  const grads = upload(backend, gradients(start().params));
  const state = optimizer.init(params);
  const inputs = [params, grads];
  const seen = await Promise.all(inputs.map(download));

  const after = scope(() => optimizer.update(grads, state, params, { step: 1, lr }));
  for (const [i, kind] of ['parameters', 'gradients'].entries()) {
    const free = [...inputs[i].values()].some((t) => t.disposed);
    require(!free &&
      sameNumbers(seen[i], await download(inputs[i])), `update must leave the ${kind} it is given alone`);
  }
  require(sameSpecs(params, after.params), 'update must return the same parameters, of the same shapes');
  require(sameSpecs(
    state,
    after.state,
  ), `update must keep the state's names and shapes, ${list(state)}; they became ${list(after.state)}`);
  const given = new Set([...inputs, state].flatMap((tensors) => [...tensors.values()]));
  const made = [...after.params.values(), ...after.state.values()];
  require(new Set(made).size === made.length &&
    !made.some((t) => given.has(t)), 'update must return new tensors');
  eachTensor([inputs, state, after.params, after.state], (t) => t.dispose());
  const left = backend.stats.liveBytes - live;
  require(left === 0, `update must free what it does not return; ${left} bytes are left`);
}

/** Fixed parameters with no state yet: numbers of both signs, away from the minimum. */
function start(): Snapshot {
  const params = new Map<string, HostArray>();
  for (const [name, shape] of Object.entries(shapes)) {
    const count = shape.reduce((n, axis) => n * axis, 1);
    params.set(
      name,
      Float32Array.from({ length: count }, (_, i) => 2 * Math.sin(1.7 * i + params.size) + target),
    );
  }
  return { params, state: new Map() };
}

const gradients = (params: ReadonlyMap<string, HostArray>) =>
  new Map([...params].map(([name, p]) => [name, Float32Array.from(p, (x) => x - target)]));

function loss(params: ReadonlyMap<string, HostArray>): number {
  let total = 0;
  for (const p of params.values()) for (const x of p) total += 0.5 * (x - target) ** 2;
  return total;
}

/** Updates `from` to `to` on tensors that are made anew from the snapshot, as after loading a checkpoint. */
async function run(
  optimizer: Optimizer,
  backend: Backend,
  at: Snapshot,
  from: number,
  to: number,
): Promise<Snapshot> {
  let params: Params = upload(backend, at.params);
  let state: OptimizerState = optimizer.init(params);
  if (from > 1) {
    const saved = new Map(
      [...state].map(([name, t]) => [name, tensor(backend, at.state.get(name) ?? [], t.shape)]),
    );
    eachTensor(state, (t) => t.dispose());
    state = saved;
  }
  for (let step = from; step <= to; step++) {
    const grads = upload(backend, gradients(await download(params)));
    const after = optimizer.update(grads, state, params, { step, lr: optimizer.lr });
    eachTensor([grads, state, params], (t) => t.dispose());
    ({ params, state } = after);
  }
  const snapshot = { params: await download(params), state: await download(state) };
  eachTensor([params, state], (t) => t.dispose());
  return snapshot;
}

function upload(backend: Backend, numbers: ReadonlyMap<string, HostArray>): Map<string, Tensor> {
  return new Map([...numbers].map(([name, data]) => [name, tensor(backend, data, shapes[name])]));
}

async function download(tensors: Params): Promise<Map<string, HostArray>> {
  const pairs = [...tensors].map(
    async ([name, t]) => [name, t.disposed ? new Float32Array() : await t.data()] as const,
  );
  return new Map(await Promise.all(pairs));
}

function sameSpecs(a: Params, b: Params): boolean {
  return a.size === b.size && [...a].every(([name, t]) => b.has(name) && sameSpec(t, b.get(name) as Tensor));
}

const list = (tensors: Params) => [...tensors].map(([name, t]) => `${name} ${show(t)}`).join(', ') || 'none';

function same(a: Snapshot, b: Snapshot): boolean {
  return sameNumbers(a.params, b.params) && sameNumbers(a.state, b.state);
}

function sameNumbers(a: ReadonlyMap<string, HostArray>, b: ReadonlyMap<string, HostArray>): boolean {
  return (
    a.size === b.size &&
    [...a].every(([name, x]) => {
      const y = b.get(name);
      return y !== undefined && x.length === y.length && x.every((value, i) => Object.is(value, y[i]));
    })
  );
}
