import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestAll } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { writeTinyModel } from '@flex/llama/testing';
import { checkpointPath } from '../checkpoint.ts';
import { measurements, type RunSummary } from '../run.ts';

/**
 * Overrides of a run of a tiny model on rows of tokens, some held out, which saves, evaluates and measures
 * often. `model` are changes of the model's config.json.
 */
export function tinyTraining(folder = temporaryFolder(), model: object = {}): string[] {
  writeTinyModel(join(folder, 'model'), model);
  const rows = (count: number, of: number) =>
    Array.from({ length: count }, (_, i) => {
      const ids = Array.from({ length: 6 }, (_, j) => (of + (i + 1) * (j + 1)) % 10);
      return `${JSON.stringify({ input_ids: ids })}\n`;
    }).join('');
  writeFileSync(join(folder, 'rows.jsonl'), rows(7, 0));
  writeFileSync(join(folder, 'held.jsonl'), rows(3, 5));
  return [
    `model=${join(folder, 'model')}`,
    `data={source: ${join(folder, 'rows.jsonl')}}`,
    `eval={source: ${join(folder, 'held.jsonl')}}`,
    'lora.rank=2',
    'optimizer.lr=0.02',
    'train={batch_size: 2, epochs: 1, save_every: 3, eval_every: 2, spectrum_every: 2, keep_checkpoints: 1}',
  ];
}

/**
 * All that a run's folder says of the run, without what measures the machine: its files' texts, the digests
 * of its adapter and of its best checkpoint. Throws where something half-written is left.
 */
export function recordOf(out: string): Readonly<Record<string, unknown>> {
  const half = readdirSync(out, { recursive: true }).filter((name) => String(name).endsWith('.partial'));
  if (half.length > 0) throw new Error(`${out}: has ${half.join(', ')}`);
  const measured = new RegExp(`("(?:${measurements.join('|')})"): ?[^,}\n]+`, 'g');
  const textOf = (name: string) =>
    readFileSync(join(out, name), 'utf8').replaceAll(measured, '$1:0').replaceAll(out, 'out');
  const summary = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8')) as RunSummary;
  const { best, provenance } = summary;
  const bytesOf = (path: string) =>
    digestAll(path).map((file) => [file.path.replace(out, 'out'), file.sha256]);
  return {
    ...Object.fromEntries(
      ['metrics.jsonl', 'held-out.jsonl', 'spectrum.jsonl'].map((name) => [name, textOf(name)]),
    ),
    // When and by which command is of the processes that made it.
    'summary.json': textOf('summary.json').replace(
      /\n {2}"provenance": \{[\s\S]*\n {2}\}/,
      provenance.digest,
    ),
    adapter: bytesOf(join(out, 'adapter')),
    best: best && bytesOf(checkpointPath(out, best.step)),
  };
}
