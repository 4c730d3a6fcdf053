// Every optimizer on a badly scaled quadratic, each over the same learning rates with the same number of
// updates. tsx optimizers.ts [--updates N]
import { parseArgs } from 'node:util';
import {
  adamw,
  cosineSchedule,
  isDue,
  lion,
  type Objective,
  type Optimizer,
  type Params,
  sgd,
  sophiaG,
  sophiaH,
} from '@flex/optim';
import { eachTensor, matmul, normal, openReference, type Tensor, tensor } from '@flex/tensor';

const { values } = parseArgs({ options: { updates: { type: 'string', default: '300' } } });
const updates = Number(values.updates);
const n = 32;
/** 10⁻⁴ … 10^½, two a decade. */
const rates = Array.from({ length: 10 }, (_, i) => 10 ** (i / 2 - 4));
const backend = openReference();

/** A symmetric matrix H [n, n] with H = R·Rᵀ, of the loss ½·θᵀHθ. */
interface Quadratic {
  readonly name: string;
  readonly h: Tensor;
  readonly root: Tensor;
}

/** Eigenvalues from 1 to 10⁻⁶, the axes being the coordinates or the columns of an orthogonal matrix. */
function quadratic(name: string, axes: Float64Array): Quadratic {
  const root = tensor(
    backend,
    axes.map((x, i) => x * 10 ** ((-3 * (i % n)) / (n - 1))),
    [n, n],
  );
  return { name, root, h: matmul(root, root, { transposeB: true }) };
}

/** The identity where there are no normals, else what Gram and Schmidt make of them. */
function orthogonal(normals: ArrayLike<number> | null): Float64Array {
  const columns: number[][] = [];
  for (let j = 0; j < n; j++) {
    const column = Array.from({ length: n }, (_, i) => (normals ? normals[i * n + j] : Number(i === j)));
    for (const other of columns) {
      const along = column.reduce((total, x, i) => total + x * other[i], 0);
      for (const [i, x] of other.entries()) column[i] -= along * x;
    }
    const length = Math.hypot(...column);
    columns.push(column.map((x) => x / length));
  }
  return Float64Array.from({ length: n * n }, (_, i) => columns[i % n][Math.floor(i / n)]);
}

/** The loss of H as an optimizer asks for it: its sampled gradient is that of normal labels, R·z. */
const objectiveOf = ({ h, root }: Quadratic, step: number): Objective => ({
  scoredTokens: 1,
  sampledGradient: () => {
    const labels = tensor(backend, normal(n, { key: [1, 0], counter: [step, 0] }), [n, 1]);
    return new Map([['x', matmul(root, labels)]]);
  },
  hessianProduct: (v) => new Map([['x', matmul(h, v.get('x')!)]]),
});

/** The loss after all updates at a rate, as a share of that at the start; Infinity where it diverged. */
async function lossAfter(problem: Quadratic, optimizer: Optimizer, rate: number): Promise<number> {
  const schedule = cosineSchedule.make({ warmupSteps: 0, minLrRatio: 0 }, { totalSteps: updates });
  const lossOf = async (x: Tensor) => {
    const g = matmul(problem.h, x);
    const [point, slope] = await Promise.all([x.data(), g.data()]);
    return Array.from(point, (value, i) => 0.5 * value * slope[i]).reduce((total, part) => total + part, 0);
  };
  let params: Params = new Map([['x', tensor(backend, normal(n, { key: [2, 0] }), [n, 1])]]);
  let state = optimizer.init(params);
  const before = await lossOf(params.get('x')!);
  for (let step = 1; step <= updates; step++) {
    const { curvature } = optimizer;
    const due = curvature && isDue(curvature, step);
    const estimate = due && curvature.estimate(objectiveOf(problem, step), params, { seed: 0, step });
    const grads: Params = new Map([['x', matmul(problem.h, params.get('x')!)]]);
    const info = { step, lr: rate * schedule(step - 1), ...(estimate && { curvature: estimate }) };
    const after = optimizer.update(grads, state, params, info);
    eachTensor([params, grads, estimate, after.diagnostics], (t) => t.dispose());
    ({ params, state } = after);
  }
  const loss = (await lossOf(params.get('x')!)) / before;
  return Number.isFinite(loss) ? loss : Number.POSITIVE_INFINITY;
}

const normals = normal(n * n, { key: [7, 0] });
const problems = [
  quadratic('axes are coordinates', orthogonal(null)),
  quadratic('axes are turned', orthogonal(normals)),
];
const optimizers = { adamw, sophiaG, sophiaH, lion, sgd };
console.log(
  `${updates} updates, eigenvalues 1 to 1e-6, ${rates.length} rates each, cosine: final loss / first`,
);
for (const problem of problems) {
  for (const [name, make] of Object.entries(optimizers)) {
    const losses: number[] = [];
    for (const rate of rates) losses.push(await lossAfter(problem, make({ weightDecay: 0 }), rate));
    const best = Math.min(...losses);
    const rate = rates[losses.indexOf(best)];
    const edge = rate === rates[0] || rate === rates.at(-1) ? ', the edge of the grid' : '';
    console.log(
      `${problem.name}  ${name.padEnd(8)} ${best.toExponential(2)} at ${rate.toExponential(1)}${edge}`,
    );
  }
}
