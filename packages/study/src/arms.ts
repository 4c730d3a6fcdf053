import { parse } from 'node:path';
import { ConfigError, type KeyPath } from '@flex/base';
import { loadConfig, type Override, plainConfig, type TrainConfig } from '@flex/train';
import { type ArmControl, controlsOf, type Penalty } from './controls.ts';
import { combinations, factorsOf, keysSet } from './levels.ts';
import { type Study, slug } from './load-study.ts';

/** A way to run the base: a combination of levels, or a control of one. */
export interface Arm {
  /** A name of a folder: its levels with `+` between them, before them that of a control. */
  readonly name: string;
  /** What other arms of the study are called whose runs are the same ones. */
  readonly aliases: readonly string[];
  /** Whether it is a combination of levels; else it is there as a control alone. */
  readonly isLevel: boolean;
  /** The arms that it is a control of, which a combination of levels may be too. */
  readonly controls: readonly Control[];
  /** The level of each factor. */
  readonly levels: Readonly<Record<string, string>>;
  /** What the levels set, by dotted keys. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Over the base, in order, of the run with a seed. */
  overrides(seed: number): readonly Override[];
}

/** One arm as the control of another. */
export interface Control {
  readonly kind: ArmControl;
  readonly of: string;
}

/**
 * The arms of a study: all combinations of the levels of its factors, and of each that has a penalty those
 * controls that can be made of it and are not switched off (`controlsOf`). An arm whose penalties all have λ = 0
 * has none, and is itself the unpenalized control of the others.
 */
export async function armsOf(study: Study): Promise<Arm[]> {
  const arms: Arm[] = [];
  for (const levels of combinations(factorsOf(study), study.placeOf(['factors']).where)) {
    const overrides = levels.flatMap((level) => level.overrides);
    const penalties = penaltiesOf(await configOf(study, overrides, study.seeds[0]));
    const isFree = penalties.every(({ lambda }) => lambda === 0);
    const names = levels.map(({ name }) => name);
    const shared = {
      aliases: [],
      levels: Object.fromEntries(levels.map(({ factor, name }) => [factor, name])),
      keys: keysSet(levels),
    };
    const withPenalties = (list: readonly Penalty[] | null) => [
      ...overrides,
      setting(study, ['regularizer'], list ?? 'none'),
    ];
    const whole = isFree ? 'unpenalized' : penalties.map(nameOf).join('+');
    const name = slug(names.length > 0 ? names.join('+') : whole);
    const free = withPenalties(null);
    arms.push({ ...shared, name, isLevel: true, controls: [], overrides: () => (isFree ? free : overrides) });
    if (isFree) continue;
    const others = levels.filter((level) => !level.overrides.every(({ path }) => path[0] === 'regularizer'));
    for (const { kind, penaltiesFor } of controlsOf(penalties)) {
      if (study.off[kind] !== undefined) continue;
      const of = kind === 'unpenalized' ? others.map((level) => level.name) : names;
      arms.push({
        ...shared,
        name: slug([kind, ...of].join('+')),
        isLevel: false,
        controls: [{ kind, of: name }],
        overrides: (seed) => withPenalties(penaltiesFor(seed)),
      });
    }
  }
  return arms;
}

/** The configuration of the study's base with these over it and a seed; `out` is left to the caller. */
export async function configOf(
  { file, baseFile, baseKeys }: Study,
  overrides: readonly Override[],
  seed: number,
  out = 'study-run',
): Promise<TrainConfig> {
  const own: Override[] = [
    { where: file, path: ['train', 'seed'], value: seed },
    { where: file, path: ['out'], value: out },
  ];
  const config = await loadConfig({ file: baseFile, overrides: [...baseKeys, ...overrides, ...own] });
  const { data, eval: heldOut, optimizer, schedule, regularizer, callbacks } = config;
  const formats = [data, ...heldOut].map(({ format }) => format);
  const parts = [optimizer, schedule, ...regularizer, ...callbacks, ...formats];
  const value = parts.find((part) => typeof part === 'object' && typeof part.use === 'object');
  if (value === undefined) return config;
  const { name } = (value as { use: { name: string } }).use;
  throw new ConfigError(
    `${baseFile ?? file}: has the part ${name} as a value, which no file of a run can hold; name its module, use: './…'`,
  );
}

/** A penalty's name, or that of its module's file. */
const nameOf = ({ name, use }: Penalty) => String(name ?? parse(String(use)).name);

function setting({ file }: Study, path: KeyPath, value: unknown): Override {
  return { where: file, path, value };
}

/** The regularizers of a configuration, as files have them. */
function penaltiesOf(config: TrainConfig): readonly Penalty[] {
  const { regularizer } = plainConfig(config);
  return regularizer === 'none' ? [] : ([regularizer].flat() as Penalty[]);
}
