import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  DataError,
  makeOwnFolder,
  onDisk,
  parseJson,
  readWhole,
  syncDirectory,
  writeAtomic,
} from '@flex/base';
import type { OptimizerState } from '@flex/optim';
import {
  type Adapters,
  type AdapterTarget,
  type AdapterWeights,
  lowRankOf,
  type ResolvedLora,
  readAdapter,
  trainedHalf,
  writeAdapter,
} from '@flex/peft';
import { type Backend, eachTensor, type Tensor, tensor } from '@flex/tensor';
import { openSafetensors, toFloat32, writeSafetensors } from '@flex/tensor/safetensors';

/** Where a run stands after an update. Dropout and data order follow from the seed and this number. */
export interface Progress {
  /** Updates done. */
  readonly step: number;
  /** Digest of everything that decides the run's numbers; a checkpoint of another run is refused. */
  readonly run: string;
}

export interface SavedRun extends Progress, AdapterWeights {
  readonly state: OptimizerState;
}

const stateFile = 'optimizer.safetensors';
const progressFile = 'progress.json';

const folderOf = (out: string) => join(out, 'checkpoints');

/** The folder of the checkpoint after so many updates. */
export const checkpointPath = (out: string, step: number): string => join(folderOf(out), `step-${step}`);

/**
 * Writes `checkpoints/step-N` under `out`: into a temporary folder first, so that a half-written one is never
 * read. Throws DataError where `checkpoints` is a link, and where the disk refuses.
 */
export async function saveCheckpoint(
  out: string,
  { step, run, params, whole, state }: SavedRun,
  lora: ResolvedLora,
  baseModel: string,
): Promise<void> {
  const folder = folderOf(out);
  const final = checkpointPath(out, step);
  const temporary = join(folder, `.step-${step}.partial`);
  onDisk(temporary, () => {
    mkdirSync(out, { recursive: true });
    makeOwnFolder(folder);
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary);
  });
  const { config, removed } = lora;
  await writeAdapter(join(temporary, 'adapter'), params, config, { baseModel, whole, removed });
  const tensors = new Map<string, { dtype: 'F32'; shape: readonly number[]; data: Float32Array }>();
  for (const [name, t] of state) {
    tensors.set(name, { dtype: 'F32', shape: t.shape, data: Float32Array.from(await t.data()) });
  }
  writeSafetensors(join(temporary, stateFile), tensors);
  writeAtomic(join(temporary, progressFile), `${JSON.stringify({ step, run })}\n`);
  onDisk(final, () => {
    rmSync(final, { recursive: true, force: true });
    renameSync(temporary, final);
    syncDirectory(folder);
  });
}

/** Removes the checkpoints but for the last `keep`, and that of the update `best`. */
export function pruneCheckpoints(out: string, keep: number, best: number | null): void {
  for (const step of savedSteps(out).slice(0, -keep)) {
    if (step === best) continue;
    const path = checkpointPath(out, step);
    const leaving = join(folderOf(out), `.step-${step}.partial`);
    onDisk(path, () => {
      renameSync(path, leaving);
      rmSync(leaving, { recursive: true });
    });
  }
}

/** The updates after which there are checkpoints, in order. */
export function savedSteps(out: string): number[] {
  const folder = folderOf(out);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * The newest whole checkpoint of a run's folder, or null. `removed` is what the run took out of its model.
 * Throws DataError when it is damaged or of another run.
 */
export function loadCheckpoint(
  backend: Backend,
  out: string,
  run: string,
  { removed, ...model }: AdapterTarget & { readonly removed: Adapters | null },
): SavedRun | null {
  const step = savedSteps(out).at(-1);
  if (step === undefined) return null;
  const dir = checkpointPath(out, step);
  const progress = readProgress(join(dir, progressFile));
  if (progress.run !== run) {
    throw new DataError(
      `${dir}: is of a run with another configuration, module, model or data; take another out, or --overwrite`,
    );
  }
  const { params: written, whole } = readAdapter(backend, join(dir, 'adapter'), model);
  const params = removed ? trainedHalf(written) : written;
  if (removed) eachTensor(lowRankOf(written), (t) => t.dispose());
  return { ...progress, params, whole, state: readState(backend, join(dir, stateFile)) };
}

function readProgress(path: string): Progress {
  try {
    return parseJson(readWhole(path).toString(), path) as Progress;
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0];
    throw new DataError(`${path}: is damaged: ${why}; remove this checkpoint to go on from the one before`, {
      cause,
    });
  }
}

function readState(backend: Backend, path: string): Map<string, Tensor> {
  const file = openSafetensors(path);
  const state = new Map<string, Tensor>();
  try {
    for (const [name, { dtype, shape }] of file.tensors) {
      state.set(name, tensor(backend, toFloat32(dtype, file.read(name)), shape));
    }
  } finally {
    file.close();
  }
  return state;
}
