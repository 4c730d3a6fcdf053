// AdamW against SophiaG on the bundled model, λ = 0: held-out losses on Python and Java over three seeds.
//
//   pnpm exec tsx recipes/adamw-against-sophia.ts [--device webgpu|cpu] [--out DIR] [--updates MOST]
//     [--mbpp FILE] [--mbjp FILE]
//
// Both optimizers get the same budget: a run on MBPP 11–410 at each of the learning rates below with seed
// 0, of which the one with the lowest loss on MBPP 411–510 is taken; then, at that rate, a run on MBPP
// 11–510 with each of seeds 1, 2 and 3. Runs make one pass, in updates of four rows: 100 and 125 updates.
// What is reported is the loss on MBPP 511–600 and MBJP 511–600, which no choice has seen. Every run lies
// in a folder of its own: started again, the script goes on where it was. The data default to
// ../shared/data beside the repository. About half an hour on two cores.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openWasm, openWebGpu } from '@flex/tensor';
import { loadConfig, type Recipe, type RunSummary, readMetrics, train } from '@flex/train';

const root = resolve(import.meta.dirname, '..');
const data = resolve(root, '../shared/data');
const { values: options } = parseArgs({
  options: {
    mbpp: { type: 'string', default: join(data, 'mbpp.jsonl') },
    mbjp: { type: 'string', default: join(data, 'mbjp.jsonl') },
    out: { type: 'string', default: 'runs/adamw-against-sophia' },
    device: { type: 'string', default: 'webgpu' },
    updates: { type: 'string', default: '125' },
  },
});

const optimizers = ['adamw', 'sophia-g'] as const;
const rates = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2];
const seeds = [1, 2, 3];
const most = Number(options.updates);
const backend = options.device === 'cpu' ? openWasm() : await openWebGpu();

type OptimizerName = (typeof optimizers)[number];

interface Run {
  readonly optimizer: OptimizerName;
  readonly lr: number;
  readonly seed: number;
  readonly split: string;
  readonly updates: number;
  readonly eval: Recipe['eval'];
}

/** Makes a run in a folder of `out`, goes on with it, or takes what it gave. */
async function once(
  folder: string,
  { optimizer, lr, seed, split, updates, eval: heldOut }: Run,
): Promise<RunSummary> {
  const recipe: Recipe = {
    model: join(root, 'packages/cli/assets/micro'),
    data: { source: options.mbpp, split },
    eval: heldOut,
    out: join(options.out, folder),
    optimizer: { name: optimizer, lr },
    regularizer: 'none',
    train: { batchSize: 4, epochs: 1, maxSteps: Math.min(most, updates), seed, evalEvery: 0, saveEvery: 50 },
  };
  const summary = await train(await loadConfig({ defaults: recipe }), { backend, resume: true });
  const losses = Object.values(summary.eval).map(({ after }) => after.toFixed(4));
  const seconds = summary.seconds.toFixed(0);
  console.log(`${folder}: held-out ${losses.join(', ')} nats a token, ${seconds} s`);
  return summary;
}

const lossesOf = ({ eval: heldOut }: RunSummary) => Object.values(heldOut).map(({ after }) => after);
const mean = (numbers: readonly number[]) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
/** Of a sample. */
const deviation = (numbers: readonly number[]) =>
  Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean(numbers)) ** 2, 0) / (numbers.length - 1));
const spread = (numbers: readonly number[]) =>
  `${mean(numbers).toFixed(4)} ± ${deviation(numbers).toFixed(4)}`;

/** The rate of the lowest loss on rows that are neither learnt in that run nor reported. */
async function tuned(optimizer: OptimizerName): Promise<number> {
  const losses: number[] = [];
  for (const lr of rates) {
    const heldOut = { source: options.mbpp, split: '411-510' };
    const run: Run = { optimizer, lr, seed: 0, split: '11-410', updates: 100, eval: heldOut };
    losses.push(...lossesOf(await once(`tune-${optimizer}-${lr}`, run)));
  }
  return rates[losses.indexOf(Math.min(...losses))];
}

const held = [options.mbpp, options.mbjp].map((source) => ({ source, split: '511-600' }));
const rows: string[][] = [];
const results = new Map<OptimizerName, number[][]>();
for (const optimizer of optimizers) {
  const lr = await tuned(optimizer);
  const summaries: RunSummary[] = [];
  for (const seed of seeds) {
    const run: Run = { optimizer, lr, seed, split: '11-510', updates: 125, eval: held };
    summaries.push(await once(`${optimizer}-seed-${seed}`, run));
  }
  const [python, java] = [0, 1].map((set) => summaries.map((summary) => lossesOf(summary)[set]));
  results.set(optimizer, [python, java]);
  const last = readMetrics(join(summaries[0].out, 'metrics.jsonl')).at(-1) as
    | { win_rate?: number }
    | undefined;
  const share = mean(summaries.map(({ curvature_share = 0 }) => curvature_share));
  const edge = lr === rates[0] || lr === rates.at(-1) ? ' (edge)' : '';
  rows.push([
    optimizer,
    `${lr}${edge}`,
    spread(python),
    spread(java),
    mean(summaries.map(({ tokens_per_second }) => tokens_per_second)).toFixed(0),
    `${(100 * share).toFixed(1)} %`,
    last?.win_rate?.toFixed(3) ?? '',
  ]);
}
const [adamw, sophia] = optimizers.map((optimizer) => results.get(optimizer)!);
const differences = adamw.map((set, i) => spread(set.map((loss, seed) => sophia[i][seed] - loss)));
rows.push(['sophia-g − adamw, by seed', '', ...differences, '', '', '']);

const head = ['optimizer', 'lr', 'MBPP 511–600', 'MBJP 511–600', 'tokens/s', 'curvature', 'win_rate'];
console.log(
  `\nheld-out loss after ${Math.min(most, 125)} updates, nats a token: mean ± sd over seeds ${seeds.join(', ')}`,
);
for (const row of [head, head.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`);
await backend.close();
