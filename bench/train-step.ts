// One LoRA update of the bundled model, batch 4 × 128, against PyTorch + PEFT in the same run.
// tsx train-step.ts [--device webgpu|cpu] [--save]; FLEX_PEER_PYTHON names a Python with torch, transformers
// and peft.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { loadLlama, type TokenBatch } from '@flex/llama';
import { adamw } from '@flex/optim';
import {
  type Adapters,
  flattenAdapters,
  fourier,
  initLora,
  type LoraConfig,
  resolveLora,
  resolveTargets,
} from '@flex/peft';
import { eachTensor, keep, openGpuJs, openWebGpu } from '@flex/tensor';
import { type UpdateSetup, update } from '@flex/train';

const micro = join(import.meta.dirname, '../packages/cli/assets/micro');
const [b, t, steps] = [4, 128, 15];
const device = process.argv.includes('--device')
  ? process.argv[process.argv.indexOf('--device') + 1]
  : 'webgpu';
const backend = device === 'cpu' ? openGpuJs() : await openWebGpu();

const model = loadLlama(backend, micro, { dtype: 'f16' });
const lora: LoraConfig = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };
const optimizer = adamw({ lr: 2e-4 });

/** The same ids as labels, as the peer has; deterministic. */
function batchOf(tokens: number): TokenBatch {
  const input_ids = Int32Array.from(
    { length: b * tokens },
    (_, i) => 3 + ((i * 7919) % (model.config.vocabSize - 3)),
  );
  return { b, t: tokens, input_ids, labels: input_ids };
}

/** Median seconds of an update, with or without the penalty. */
async function measure(lambda: number): Promise<{ seconds: number; peak: number }> {
  let params: Adapters = initLora(backend, lora, resolveTargets('mlp', model.linears), 0);
  const setup: UpdateSetup = {
    model,
    lora: resolveLora(lora, params),
    optimizer,
    regularizers: lambda > 0 ? [{ regularizer: fourier(), lambda, enters: 'loss' }] : [],
    maxGradNorm: 1,
    checkpointActivations: false,
    gradAccumulation: 1,
    seed: 0,
  };
  let state = optimizer.init(flattenAdapters(params));
  const times: number[] = [];
  backend.resetPeak();
  for (let step = 1; step <= steps + 3; step++) {
    const started = performance.now();
    const result = keep(update(setup, { params, state, batches: [batchOf(t)], step, lr: 2e-4 }));
    await Promise.all([result.loss.item(), result.penalty.item(), result.gradNorm.item()]);
    eachTensor([params, state, result.loss, result.penalty, result.gradNorm], (x) => x.dispose());
    ({ params, state } = result);
    if (step > 3) times.push((performance.now() - started) / 1000);
  }
  eachTensor([params, state], (x) => x.dispose());
  return {
    seconds: times.sort((x, y) => x - y)[Math.floor(times.length / 2)],
    peak: backend.stats.peakBytes,
  };
}

interface Row {
  readonly what: string;
  readonly seconds: number;
  readonly tokens_per_second: number;
  readonly peak_bytes?: number;
}

const rows: Row[] = [];
for (const lambda of [0, 0.02]) {
  const { seconds, peak } = await measure(lambda);
  const what = `FLeX, ${backend.description}, λ=${lambda}`;
  rows.push({ what, seconds, tokens_per_second: (b * t) / seconds, peak_bytes: peak });
}
const python = process.env.FLEX_PEER_PYTHON;
if (python) {
  const script = join(import.meta.dirname, 'peers/train_step.py');
  const answer = execFileSync(python, [script, micro, String(b), String(t), String(steps)], {
    encoding: 'utf8',
  });
  rows.push(JSON.parse(answer.trim().split('\n').at(-1)!) as Row);
}
for (const { what, seconds, tokens_per_second } of rows) {
  console.log(
    `${tokens_per_second.toFixed(0).padStart(7)} tokens/s  ${(1000 * seconds).toFixed(1).padStart(7)} ms  ${what}`,
  );
}
if (python) {
  console.log(
    `ratio to the peer: ${(rows[0].tokens_per_second / rows[rows.length - 1].tokens_per_second).toFixed(3)}`,
  );
} else {
  console.log('no peer: FLEX_PEER_PYTHON names no Python with torch, transformers and peft');
}
const record = {
  bench: 'train-step',
  batch: b,
  tokens: t,
  date: new Date().toISOString(),
  cpu: cpus()[0].model,
  rows,
};
console.log(JSON.stringify(record));
if (process.argv.includes('--save')) {
  writeFileSync(
    join(import.meta.dirname, `results/train-step-${device}.json`),
    `${JSON.stringify(record, null, 2)}\n`,
  );
}
process.exit(0);
