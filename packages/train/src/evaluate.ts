import { join } from 'node:path';
import { type CausalLM, type TokenBatch, tokenLosses } from '@flex/llama';
import { withAdapter } from '@flex/peft';
import { scope } from '@flex/tensor';
import type { Batch } from './data/batches.ts';
import type { DataSet } from './data/data-set.ts';
import { appendHeldOut, type ExampleLoss, heldOutFile, placeIn } from './held-out-log.ts';
import { parameterNames } from './non-finite-update.ts';
import { modelNames, wordsOf } from './non-finite-words.ts';
import type { PreparedRun } from './prepare.ts';

/**
 * Mean losses on a run's held-out data by the sets' names, nats a token, after update `step`; those of each
 * example are appended to held-out.jsonl. Throws Error, which names set and row, where one is not finite.
 */
export async function heldOutLosses(prepared: PreparedRun, step: number): Promise<Record<string, number>> {
  const losses: Record<string, number> = {};
  for (const set of prepared.heldOut) {
    const examples = await exampleLosses(prepared, set, step);
    const total = (of: keyof ExampleLoss) => examples.reduce((sum, one) => sum + Number(one[of]), 0);
    losses[set.name] = total('loss') / total('tokens');
    appendHeldOut(join(prepared.config.out, heldOutFile), step, set.name, losses[set.name], examples);
  }
  return losses;
}

/** Of each example of a set, in its order. */
async function exampleLosses(
  { config, setup, trainee }: PreparedRun,
  set: DataSet,
  step: number,
): Promise<ExampleLoss[]> {
  const model = withAdapter(setup.model, trainee, setup.lora);
  const found = new Map<string, ExampleLoss>();
  for (const batch of set.batches(config.train.batchSize)) {
    for (const one of byExample(batch, await readLosses(model, batch))) {
      found.set(one.row, one);
      if (Number.isFinite(one.loss)) continue;
      const names = new Map([...modelNames(model), ...parameterNames(trainee)]);
      const words = await wordsOf(
        model.backend,
        names,
        () => new Map([['its loss', tokenLosses(model, batch)]]),
      );
      const row = placeIn(set.source, one.row);
      throw new Error(
        `evaluation after update ${step}, ${set.name}, row ${row}: ${words ?? `its loss is ${one.loss}`}`,
      );
    }
  }
  return set.examples
    .flatMap(({ rows }) => rows)
    .map((row) => {
      const one = found.get(row)!;
      return { ...one, row: placeIn(set.source, row) };
    });
}

/** The losses of the scored tokens, row after row. */
async function readLosses(model: CausalLM, batch: TokenBatch): Promise<ArrayLike<number>> {
  const losses = scope(() => tokenLosses(model, batch));
  try {
    return await losses.data();
  } finally {
    losses.dispose();
  }
}

/** The losses of a batch's scored tokens by the examples that its rows hold. */
export function byExample({ b, t, labels, starts, rows }: Batch, losses: ArrayLike<number>): ExampleLoss[] {
  const found: { row: string; tokens: number; loss: number }[] = [];
  let next = 0;
  for (let row = 0; row < b; row++) {
    const documents = rows[row].map((name) => ({ row: name, tokens: 0, loss: 0 }));
    let document = 0;
    for (let i = row * t + 1; i < (row + 1) * t; i++) {
      if (starts && starts[i] !== starts[i - 1]) document++;
      if (labels[i] < 0) continue;
      documents[document].tokens++;
      documents[document].loss += losses[next++];
    }
    found.push(...documents);
  }
  return found;
}
