import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { loadModel, tokenLosses } from '@flex/llama';
import { writeTinyModel } from '@flex/llama/testing';
import { openReference } from '@flex/tensor';
import { deviceBackends } from '@flex/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chunk, collate } from './data/batches.ts';
import { type Example, UNSCORED } from './data/encode.ts';
import { packExamples } from './data/pack.ts';
import { byExample } from './evaluate.ts';
import { type Callback, loadConfig, readHeldOut, type TrainOptions, train } from './index.ts';

const wasm = deviceBackends.find(({ label }) => label === 'wasm')!;

/** An example of which some tokens are scored; a token's loss is its id. */
const exampleOf = (scored: readonly boolean[], i: number): Example => {
  const input_ids = Int32Array.from(scored, (_, place) => 100 * i + place + 1);
  return {
    input_ids,
    labels: input_ids.map((id, place) => (place > 0 && scored[place] ? id : UNSCORED)),
    rows: [`rows:${i}`],
  };
};

test("every scored token's loss is its example's, padded, packed or not", () => {
  const scored = fc.array(fc.boolean(), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(
      fc.array(scored, { minLength: 1, maxLength: 12 }),
      fc.nat(12),
      fc.boolean(),
      (all, size, pack) => {
        const examples = all.map(exampleOf);
        const rows = pack ? packExamples(examples, 12) : examples;
        const found = chunk(rows, size + 1).flatMap((some) => {
          const batch = collate(some);
          const order = [...batch.labels].filter((label, at) => at % batch.t > 0 && label >= 0);
          return byExample(batch, order);
        });
        const wanted = examples.map(({ labels, rows: [row] }) => {
          const losses = [...labels].filter((label) => label >= 0);
          return { row, tokens: losses.length, loss: losses.reduce((sum, loss) => sum + loss, 0) };
        });
        expect(found.sort((a, b) => Number(a.row.slice(5)) - Number(b.row.slice(5)))).toEqual(wanted);
      },
    ),
  );
});

/** Trains a tiny model on rows of ids, with held-out rows of others. */
async function run(
  folder: string,
  overrides: readonly string[] = [],
  { backend = openReference(), ...options }: Partial<TrainOptions> = {},
  edit?: (tensors: Map<string, Float32Array>) => void,
) {
  // Rows of 3 to 9 tokens; those of training begin with another.
  const rowsOf = (first: number) =>
    Array.from({ length: 7 }, (_, i) => ({
      input_ids: Array.from({ length: 3 + ((5 * i) % 7) }, (_, place) => (place * 3 + i + first) % 10),
    }));
  const write = (name: string, rows: readonly object[]) =>
    writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  write('rows.jsonl', rowsOf(0));
  write('training.jsonl', rowsOf(1));
  writeTinyModel(join(folder, 'model'), {}, edit);
  const config = await loadConfig({
    overrides: [
      `model=${join(folder, 'model')}`,
      `data={source: ${join(folder, 'training.jsonl')}, split: all, max_length: 16}`,
      `eval={source: ${join(folder, 'rows.jsonl')}, split: all, max_length: 16}`,
      `out=${join(folder, 'run')}`,
      'dtype=f32',
      'lora.targets=[gate_proj]',
      'train={batch_size: 2, epochs: 1, save_every: 0, eval_every: 2}',
      'optimizer.lr=0.05',
      ...overrides,
    ],
  });
  const summary = await train(config, { backend, ...options });
  const file = join(folder, 'run/held-out.jsonl');
  return { summary, lines: existsSync(file) ? readHeldOut(file) : [] };
}
const sum = (numbers: readonly number[]) => numbers.reduce((total, x) => total + x, 0);

test('held-out losses are kept by example; their mean is that of the metrics', async () => {
  const folder = temporaryFolder();
  const { lines, summary } = await run(folder);
  expect(lines.map(({ step, set }) => [step, set])).toEqual(
    [0, 2, 4].map((step) => [step, 'rows.jsonl all']),
  );
  const metrics = readFileSync(join(folder, 'run/metrics.jsonl'), 'utf8').trim().split('\n');
  const evaluated = metrics
    .map((line) => JSON.parse(line))
    .filter(({ step, eval: losses }) => step > 0 && losses);
  expect(evaluated.map((line) => line.eval['rows.jsonl all'])).toEqual(
    lines.slice(1).map(({ loss }) => loss),
  );
  expect(summary.eval['rows.jsonl all']).toEqual({ before: lines[0].loss, after: lines[2].loss });
  for (const { rows, tokens, losses, loss } of lines) {
    expect(rows).toEqual(['1', '2', '3', '4', '5', '6', '7']);
    expect(sum(losses) / sum(tokens)).toBeCloseTo(loss, 7);
  }
  // Each is what the model gives of the example by itself.
  const model = await loadModel(openReference(), join(folder, 'model'), { dtype: 'f32' });
  const { losses, tokens } = lines[0];
  const texts = readFileSync(join(folder, 'rows.jsonl'), 'utf8').trim().split('\n');
  for (const [i, text] of texts.entries()) {
    const ids = Int32Array.from(JSON.parse(text).input_ids);
    const alone = collate([{ input_ids: ids, labels: ids, rows: [''] }]);
    expect(tokens[i]).toBe(ids.length - 1);
    // A fresh adapter changes nothing.
    expect(losses[i]).toBeCloseTo(sum([...(await tokenLosses(model, alone).data())]), 5);
  }
});

test('the size of batches changes no loss of an example', async () => {
  const [two] = (await run(temporaryFolder(), ['train.max_steps=1'])).lines;
  const [five] = (await run(temporaryFolder(), ['train.max_steps=1', 'train.batch_size=5'])).lines;
  expect(five).toMatchObject({ rows: two.rows, tokens: two.tokens });
  for (const [i, loss] of five.losses.entries()) expect(loss).toBeCloseTo(two.losses[i], 6);
});

test('a run that goes on has the evaluations of one that never stopped', async () => {
  const backend = await wasm.open();
  const whole = await run(temporaryFolder(), [], { backend });
  const folder = temporaryFolder();
  const interrupt = new AbortController();
  const stop: Callback = {
    onUpdate({ step }) {
      if (step === 3) interrupt.abort();
    },
  };
  await run(folder, [], { backend, signal: interrupt.signal, callbacks: [stop] });
  // As if the process had been killed later, while it wrote the next evaluation.
  const file = join(folder, 'run/held-out.jsonl');
  const later = JSON.stringify({ ...whole.lines[2], loss: 0 });
  writeFileSync(file, `${readFileSync(file, 'utf8')}${later}\n${later.slice(0, 50)}`);
  const { lines } = await run(folder, [], { backend, resume: true });
  expect(lines).toEqual(whole.lines);
});

test('a loss that is not finite ends the run, with the set, the row, the term and the op', async () => {
  // The logit of token 7 alone is too large for the sum that it is in.
  const spoil = (tensors: Map<string, Float32Array>) => {
    tensors.get('lm_head.weight')!.fill(3e38, 7 * 8, 8 * 8);
  };
  const backend = await wasm.open();
  const { message } = (await run(temporaryFolder(), [], { backend }, spoil).catch(
    (error: Error) => error,
  )) as Error;
  expect(message.replaceAll(/\d+/g, '#')).toBe(
    'evaluation after update #, rows.jsonl all, row #: its loss is NaN: op "crossEntropy", of the model\'s ' +
      'lm_head.weight, made the first: # of # numbers of f#[#] are NaN, from infinities: op "matmul", of the ' +
      "model's lm_head.weight, made them: # of # numbers of f#[#, #] are infinite",
  );
});
