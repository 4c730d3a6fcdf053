// Sixteen prompts of 32 to 92 tokens, 64 new ones each: one after the other and together, against
// transformers on PyTorch in the same run.
// tsx generate.ts [--device webgpu|cpu] [--save]; FLEX_PEER_PYTHON: a Python with torch and transformers.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { generate, generateAll, loadLlama } from '@flex/llama';
import { openGpuJs, openWebGpu } from '@flex/tensor';

const micro = join(import.meta.dirname, '../packages/cli/assets/micro');
const [count, maxNewTokens, repeats] = [16, 64, 3];
const device = process.argv.includes('--device')
  ? process.argv[process.argv.indexOf('--device') + 1]
  : 'webgpu';
const backend = device === 'cpu' ? openGpuJs() : await openWebGpu();
const model = loadLlama(backend, micro, { dtype: 'f16' });

// Sampled so that every seed goes its own way; the ids are the peer's too.
const requests = Array.from({ length: count }, (_, i) => ({
  prompt: Array.from({ length: 32 + 4 * i }, (_, j) => 3 + (((i + j) * 7919) % (model.config.vocabSize - 3))),
  ...{ maxNewTokens, temperature: 1, seed: i },
}));

interface Row {
  readonly what: string;
  readonly seconds: number;
  readonly tokens_per_second: number;
}

/** The median of a few runs; the first warms up and does not count. */
async function measure(what: string, run: () => Promise<number>): Promise<Row> {
  await run();
  const rows: Row[] = [];
  for (let i = 0; i < repeats; i++) {
    const started = performance.now();
    const tokens = await run();
    const seconds = (performance.now() - started) / 1000;
    rows.push({
      what: `FLeX, ${backend.description}, ${what}`,
      seconds,
      tokens_per_second: tokens / seconds,
    });
  }
  return rows.sort((x, y) => x.seconds - y.seconds)[Math.floor(repeats / 2)];
}

const rows = [
  await measure('one after the other', async () => {
    let tokens = 0;
    for (const { prompt, ...options } of requests) {
      tokens += (await generate(model, prompt, options)).ids.length;
    }
    return tokens;
  }),
];
for (const batchSize of [4, 8, 16]) {
  const run = async () =>
    (await generateAll(model, requests, { batchSize })).reduce((sum, { ids }) => sum + ids.length, 0);
  rows.push(await measure(`${batchSize} together`, run));
}
await backend.close();
const python = process.env.FLEX_PEER_PYTHON;
if (python) {
  const script = join(import.meta.dirname, 'peers/generate.py');
  const answer = execFileSync(python, [script, micro, String(count), String(maxNewTokens), String(repeats)], {
    encoding: 'utf8',
  });
  rows.push(...(JSON.parse(answer.trim().split('\n').at(-1)!) as Row[]));
}
for (const { what, seconds, tokens_per_second } of rows) {
  console.log(
    `${tokens_per_second.toFixed(0).padStart(7)} tokens/s  ${seconds.toFixed(2).padStart(6)} s  ${what}`,
  );
}
if (process.argv.includes('--save')) {
  const file = join(import.meta.dirname, 'results', device === 'cpu' ? 'generate-cpu.json' : 'generate.json');
  const machine = `${cpus().length} × ${cpus()[0].model.split(' ').slice(0, 2).join(' ')}`;
  const report = { machine, node: process.version, prompts: count, new_tokens: maxNewTokens, rows };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
}
