import type { Code, Machine } from '@flex/base';
import { z } from 'zod';
import type { Arm } from './arms.ts';
import type { Study, StudyEvaluation } from './load-study.ts';
import {
  claimSchema,
  controlNames,
  evaluationSchema,
  type Halving,
  halvingSchema,
  type StudyClaim,
} from './study-schema.ts';

/** An arm as study.json has it. */
export interface ArmRecord extends Omit<Arm, 'overrides'> {}

/** A run as study.json has it. */
export interface RunEntry {
  readonly name: string;
  readonly arm: string;
  readonly seed: number;
  readonly key: string;
}

/** What the run of an arm with a seed is called. */
export const runNameOf = (arm: string, seed: number): string => `${arm}/seed-${seed}`;

/** study.json: what a study is to do. How far it is, the folders of its runs and evaluations tell. */
export interface StudyManifest {
  /** Marks a folder as a study's. */
  readonly kind: 'flex-study';
  readonly title: string | null;
  readonly notes: readonly string[];
  /** What was said of its arms elsewhere, for a report to have beside what was measured. */
  readonly claims: readonly StudyClaim[];
  readonly digest: string;
  readonly arms: readonly ArmRecord[];
  readonly runs: readonly RunEntry[];
  readonly seeds: readonly number[];
  /** Controls that were switched off, and why. */
  readonly off: Study['off'];
  /** How trials are dropped; null: none are. */
  readonly halving: Halving | null;
  readonly evaluations: readonly StudyEvaluation[];
  readonly model: string;
  /** Every time the study was begun, grew or went on. */
  readonly history: readonly StudyStart[];
}

export interface StudyStart {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly command: readonly string[];
  readonly code: Code;
  readonly machine: Machine;
  /** Runs of the study from then on, done ones too. */
  readonly runs: number;
}

const texts = z.array(z.string());
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const code: z.ZodType<Code> = z.object({
  commit: z.object({ hash: z.string(), modified: z.boolean() }).nullable(),
  source: z.string(),
  versions: z.record(z.string(), z.string()),
});
const machine: z.ZodType<Machine> = z.object({
  host: z.string(),
  os: z.string(),
  cpu: z.string(),
  cores: z.number(),
  memory_bytes: z.number(),
});

const arm: z.ZodType<ArmRecord> = z.object({
  name: z.string(),
  aliases: texts.default([]),
  isLevel: z.boolean(),
  controls: z.array(z.object({ kind: z.enum(controlNames).exclude(['base-model']), of: z.string() })),
  levels: z.record(z.string(), z.string()),
  keys: z.record(z.string(), z.unknown()).default({}),
});

const manifest = z.object({
  kind: z.literal('flex-study'),
  title: z.string().nullable().default(null),
  notes: texts.default([]),
  claims: z.array(claimSchema).default([]),
  digest: sha256,
  arms: z.array(arm).min(1),
  runs: z.array(z.object({ name: z.string(), arm: z.string(), seed: z.number(), key: sha256 })).min(1),
  seeds: z.array(z.number()).min(1),
  off: z.partialRecord(z.enum(controlNames), z.string()),
  halving: halvingSchema.nullable().default(null),
  evaluations: z.array(evaluationSchema.extend({ name: z.string() })),
  model: z.string(),
  history: z.array(z.object({ at: z.string(), command: texts, code, machine, runs: z.number() })),
});

/** Of study.json; what studies of before did not say has a default. */
export const manifestSchema: z.ZodType<StudyManifest> = manifest.superRefine(({ arms, runs }, context) => {
  const names = new Set(arms.map(({ name }) => name));
  const controls = arms.flatMap((one, i) =>
    one.controls.map(({ of }, j) => ['arms', i, 'controls', j, 'of', of]),
  );
  const places = [...runs.map((run, i) => ['runs', i, 'arm', run.arm]), ...controls];
  const issue = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path, message });
  for (const [i, { name, arm, seed }] of runs.entries()) {
    const own = runNameOf(arm, seed);
    if (name !== own) issue(['runs', i, 'name'], `is ${name}, and its run is ${own}`);
    if (runs.findIndex((one) => one.name === name) < i)
      issue(['runs', i, 'name'], `is ${name}, which is there before`);
  }
  for (const place of places) {
    const name = place.at(-1) as string;
    if (names.has(name)) continue;
    issue(place.slice(0, -1), `is ${name}, which is no arm`);
  }
});
