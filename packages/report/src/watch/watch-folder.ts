import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DataError, isLocked } from '@flex/base';
import {
  type ArmRecord,
  evaluationFolderOf,
  holdsStudy,
  type JobState,
  readStudy,
  type StudyRecord,
} from '@flex/study';
import { holdsRun, readManifest, readSummary, totalSteps } from '@flex/train';
import { type FollowedRun, followRun, heldOutPrefix } from './follow-run.ts';
import type { Header, RunRow } from './messages.ts';

/** A run or a study, and how far it is: all in memory, none of it older than the last `refresh`. */
export interface WatchedFolder {
  readonly header: Omit<Header, 'page'>;
  /** In the order of the header's runs. */
  rows(): RunRow[];
  /** What is followed of a run, by its name. */
  run(name: string): FollowedRun;
  /** Reads what has changed. Never throws for what the folder holds: the header has it as its problem. */
  refresh(): Promise<void>;
}

/** What is known of a run from its folder, but for its lines. */
interface KnownRun {
  readonly name: string;
  readonly arm: string | null;
  readonly seed: number | null;
  readonly folder: string;
  readonly state: JobState;
  readonly steps: number | null;
  readonly error: string | null;
  /** Folders that a process which does something of it has locked. */
  readonly locks: readonly string[];
}

interface Known {
  readonly kind: Header['kind'];
  readonly title: string | null;
  readonly arms: readonly ArmRecord[];
  readonly runs: readonly KnownRun[];
  /** Files and folders that change, by their times, when something of this does. */
  readonly signs: readonly string[];
}

interface Followed {
  readonly lines: FollowedRun;
  isRead: boolean;
}

/** What is shown of a run where nothing else is asked for, besides its held-out losses. */
const usual = ['loss', 'penalty', 'grad_norm', 'tokens_per_second'];

/** Points of a curve at most: more runs have fewer each, and a chart has no more pixels. */
const capacityOf = (runs: number) => (runs <= 20 ? 1024 : runs <= 60 ? 512 : 256);

/**
 * The run or the study in a folder; `name` is how the folder is called. Throws DataError where it holds
 * neither, and for records that are malformed.
 */
export function watchFolder(folder: string, name = folder): WatchedFolder {
  let known = readKnown(folder);
  /** Of the folders before they were read last. */
  let signature = '';
  let running: ReadonlySet<string> = new Set();
  let problem: string | null = null;
  let followed = new Map<string, Followed>();
  const follow = () => {
    const capacity = capacityOf(known.runs.length);
    const before = followed;
    followed = new Map(
      known.runs.map(({ name, folder }) => [
        name,
        before.get(name) ?? { lines: followRun(folder, capacity), isRead: false },
      ]),
    );
  };
  follow();
  const refreshKnown = () => {
    try {
      const now = signatureOf(known);
      if (now !== signature || problem !== null) {
        known = readKnown(folder);
        signature = now;
        follow();
      }
      running = new Set(known.runs.filter(isRunning).map(({ name }) => name));
      problem = null;
    } catch (error) {
      problem = (error as Error).message;
    }
  };
  return {
    get header() {
      const all = [...followed.values()];
      const met = [...new Set(all.flatMap(({ lines }) => [...lines.curves.keys()]))];
      const ofSets = met.filter((column) => column.startsWith(heldOutPrefix));
      const shown = [...ofSets, ...usual.filter((column) => met.includes(column))];
      return {
        kind: known.kind,
        title: known.title ?? basename(folder),
        folder: name,
        arms: known.arms,
        runs: known.runs.map(({ name }) => name),
        columns: [...new Set([...shown, ...met])],
        usual: shown,
        read: all.filter(({ isRead }) => isRead).length,
        problem,
      };
    },
    rows: () =>
      known.runs.map((run) => ({
        ...rowOf(run, followed.get(run.name)!.lines),
        state: running.has(run.name) ? 'running' : run.state,
      })),
    run: (name) => followed.get(name)!.lines,
    async refresh() {
      refreshKnown();
      for (const run of followed.values()) {
        await run.lines.poll();
        run.isRead = true;
      }
    },
  };
}

function readKnown(folder: string): Known {
  if (holdsStudy(folder)) return knownStudy(readStudy(folder));
  if (!holdsRun(folder)) throw new DataError(`${folder}: holds neither a run nor a study`);
  const summary = readSummary(folder);
  const run: KnownRun = {
    name: basename(folder),
    arm: null,
    seed: readManifest(folder).seeds['train.seed'] ?? null,
    folder,
    state: summary?.status ?? 'begun',
    steps: stepsOf(folder),
    error: summary?.error ?? null,
    locks: [folder],
  };
  return { kind: 'run', title: null, arms: [], runs: [run], signs: [folder] };
}

function knownStudy({ folder, arms, runs, manifest }: StudyRecord): Known {
  const evaluated = (name: string) =>
    manifest.evaluations.map((evaluation) => join(folder, evaluationFolderOf(evaluation.name, name)));
  return {
    kind: 'study',
    title: manifest.title,
    arms,
    runs: runs.map(({ name, arm, seed, folder, state, failure }) => ({
      name,
      arm,
      seed,
      folder,
      state,
      steps: stepsOf(folder),
      error: failure?.error ?? null,
      locks: [folder, ...evaluated(name)],
    })),
    signs: [
      join(folder, 'study.json'),
      ...runs.flatMap(({ name, arm, folder: run }) => [
        run,
        join(folder, 'failures', arm),
        ...evaluated(name),
      ]),
    ],
  };
}

/** Updates of the whole run; null where it has not begun. */
function stepsOf(folder: string): number | null {
  return holdsRun(folder) ? totalSteps(readManifest(folder)) : null;
}

/** Milliseconds in which two changes may have one time. */
const tick = 50;

/**
 * Changes when something is written into one of the folders, taken out of it, or renamed; and with each call
 * for a while after that, as a change that follows at once may have the same time.
 */
function signatureOf({ signs }: Known): string {
  const times = signs.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const now = Date.now();
  return [...times, Math.max(...times) > now - tick ? now : ''].join(' ');
}

/** Whether a process of this machine is at a run that has begun and not ended. */
function isRunning({ state, locks }: KnownRun): boolean {
  return state === 'begun' && locks.some((folder) => existsSync(folder) && isLocked(folder));
}

function rowOf({ name, arm, seed, steps, error }: KnownRun, lines: FollowedRun): Omit<RunRow, 'state'> {
  const sets = [...lines.curves.keys()].filter((column) => column.startsWith(heldOutPrefix));
  const heldOut = sets.map((column) => [column.slice(heldOutPrefix.length), lines.last(column)!] as const);
  return {
    name,
    arm,
    seed,
    step: lines.step,
    steps,
    loss: lines.last('loss')?.value ?? null,
    heldOut: Object.fromEntries(heldOut.map(([set, { value }]) => [set, value])),
    heldOutStep: heldOut[0]?.[1].step ?? null,
    seconds: lines.seconds,
    tokensPerSecond: lines.last('tokens_per_second')?.value ?? null,
    written: lines.written,
    words: lines.problem ?? error ?? lines.warnings.at(-1) ?? null,
  };
}
