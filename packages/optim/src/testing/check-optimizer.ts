import {
  type Backend,
  eachTensor,
  type HostArray,
  mul,
  normal,
  openReference,
  sameSpec,
  scope,
  show,
  size,
  type Tensor,
  tensor,
} from '@flex/tensor';
import {
  type Curvature,
  isDue,
  type Objective,
  type Optimizer,
  type OptimizerState,
  type Params,
  type UpdateInfo,
} from '../optimizer.ts';

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
 * names and shapes, takes each parameter's learning rate, keeps the names of its state, frees what it does
 * not return, goes on from saved state as if it had never stopped, and lowers a quadratic with its own
 * learning rate. Where it estimates curvature, the same holds of that, and the estimate of an update is the
 * same each time. Throws an Error that says which of these does not hold.
 */
export async function checkOptimizer(
  optimizer: Optimizer,
  backend: Backend = openReference(),
): Promise<void> {
  const require: Require = (holds, claim) => {
    if (!holds) throw new Error(`optimizer: ${claim}`);
  };
  require(optimizer.lr > 0, `its lr must be above 0, got ${optimizer.lr}`);

  if (optimizer.curvature) await checkCurvature(optimizer.curvature, backend, require);
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
  await checkRates(optimizer, backend, require);
}

type Require = (holds: boolean, claim: string) => void;

async function checkCurvature(curvature: Curvature, backend: Backend, require: Require): Promise<void> {
  const { every } = curvature;
  require(Number.isInteger(every) &&
    every > 0, `curvature.every must be a whole number above 0, got ${every}`);
  const live = backend.stats.liveBytes;
  const params = upload(backend, start().params);
  const estimate = () => estimateAt(curvature, params, 1);
  const [first, again] = [estimate(), estimate()];
  require(sameSpecs(params, first), 'an estimate must have every parameter, of its shape');
  require(sameNumbers(
    await download(first),
    await download(again),
  ), 'an estimate must be the same each time');
  require(![...first.values()].some((t) =>
    [...params.values(), ...again.values()].includes(t),
  ), 'an estimate must be of new tensors');
  eachTensor([params, first, again], (t) => t.dispose());
  const left = backend.stats.liveBytes - live;
  require(left === 0, `an estimate must free what it does not return; ${left} bytes are left`);
}

/** The estimate at an update of the tests' quadratic, as the log-likelihood of labels normal around p. */
function estimateAt(curvature: Curvature, params: Params, step: number): Params {
  const objective: Objective = {
    scoredTokens: 1,
    sampledGradient: () =>
      new Map(
        [...params].map(([name, p], i) => {
          const noise = normal(size(p.shape), { key: [1, i], counter: [step, 0] });
          return [name, tensor(p.backend, noise, p.shape)];
        }),
      ),
    hessianProduct: (v) => new Map([...v].map(([name, t]) => [name, mul(t, 1)])),
  };
  return scope(() => curvature.estimate(objective, params, { seed: 0, step }));
}

/** What an update of the tests is told. */
function infoOf({ lr, curvature }: Optimizer, params: Params, step: number): UpdateInfo {
  const due = curvature !== undefined && isDue(curvature, step);
  return { step, lr, ...(due && { curvature: estimateAt(curvature, params, step) }) };
}

async function checkOneUpdate(optimizer: Optimizer, backend: Backend, require: Require): Promise<void> {
  const live = backend.stats.liveBytes;
  const params = upload(backend, start().params);
  const grads = upload(backend, gradients(start().params));
  const state = optimizer.init(params);
  const info = infoOf(optimizer, params, 1);
  const inputs = [params, grads, info.curvature ?? new Map<string, Tensor>()];
  const seen = await Promise.all(inputs.map(download));

  const after = scope(() => optimizer.update(grads, state, params, info));
  for (const [i, kind] of ['parameters', 'gradients', 'estimate'].entries()) {
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
  const told = [...(after.diagnostics ?? new Map<string, Tensor>()).values()];
  require(told.every(({ shape }) => shape.length === 0), 'what update tells must be numbers, f32 []');
  const made = [...after.params.values(), ...after.state.values(), ...told];
  require(new Set(made).size === made.length &&
    !made.some((t) => given.has(t)), 'update must return new tensors');
  eachTensor([inputs, state, made], (t) => t.dispose());
  const left = backend.stats.liveBytes - live;
  require(left === 0, `update must free what it does not return; ${left} bytes are left`);
}

/** A parameter with a learning rate of its own moves as it would if that were the rate of all. */
async function checkRates(optimizer: Optimizer, backend: Backend, require: Require): Promise<void> {
  const updated = async (rates: Pick<UpdateInfo, 'lr' | 'lrOf'>) => {
    const params = upload(backend, start().params);
    const grads = upload(backend, gradients(start().params));
    const state = optimizer.init(params);
    const info = { ...infoOf(optimizer, params, 1), ...rates };
    const after = scope(() => optimizer.update(grads, state, params, info));
    const found = await download(after.params);
    eachTensor([params, grads, state, info.curvature, after.params, after.state, after.diagnostics], (t) =>
      t.dispose(),
    );
    return found;
  };
  const { lr } = optimizer;
  const [own] = Object.keys(shapes);
  const [slow, fast] = [await updated({ lr }), await updated({ lr: 3 * lr })];
  const mixed = await updated({ lr, lrOf: (name) => (name === own ? 3 * lr : lr) });
  const expected = new Map([...slow].map(([name, p]) => [name, name === own ? fast.get(name)! : p]));
  require(sameNumbers(
    mixed,
    expected,
  ), 'update must take the learning rate of each parameter, learningRateOf');
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
    const info = infoOf(optimizer, params, step);
    const after = optimizer.update(grads, state, params, info);
    eachTensor([grads, state, params, info.curvature, after.diagnostics], (t) => t.dispose());
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
