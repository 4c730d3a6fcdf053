import { ConfigError, show } from '@flex/base';
import type { Format } from '@flex/datasets';
import type { Curvature, Optimizer, OptimizerState, Params, Schedule } from '@flex/optim';
import type { Regularizer } from '@flex/peft';
import { named, namedNow } from './named-error.ts';
import { penaltyKeys } from './regularizer-columns.ts';
import { isRunColumn } from './run.ts';

/** The same regularizer, whose errors begin with its title and the update. */
export function namedRegularizer(title: string, regularizer: Regularizer): Regularizer {
  const { diagnostics } = regularizer;
  return {
    penalty: (adapters, step) =>
      namedNow(`${title}, update ${step}`, () => {
        const penalty = regularizer.penalty(adapters, step);
        if (typeof penalty === 'object' && penalty?.shape?.length === 0) return penalty;
        const got = Array.isArray(penalty?.shape) ? `shape [${penalty.shape.join(', ')}]` : show(penalty);
        throw new ConfigError(`penalty() must give a tensor of shape [], got ${got}`);
      }),
    ...(diagnostics && {
      diagnostics: (adapters) =>
        named(`${title}, diagnostics`, async () => {
          const columns = await diagnostics.call(regularizer, adapters);
          const taken = penaltyKeys.find((key) => key in columns);
          if (taken) throw new ConfigError(`the column ${taken} is the run's own`);
          return columns;
        }),
    }),
  };
}

/**
 * The same optimizer, whose errors begin with its title and the update. Its update must give every parameter
 * and every tensor of its state under its name and of its shape: a checkpoint holds them by these; its
 * curvature every parameter, and what it tells numbers under names that are not the run's own.
 */
export function namedOptimizer(title: string, optimizer: Optimizer): Optimizer {
  const { curvature } = optimizer;
  return {
    lr: optimizer.lr,
    init: (params) =>
      namedNow(`${title}, init`, () => {
        const state = optimizer.init(params);
        if (!(state instanceof Map)) throw new ConfigError('must give a Map of named tensors');
        return state;
      }),
    update: (grads, state, params, info) =>
      namedNow(`${title}, update ${info.step}`, () => {
        const before = { params: shapesOf(params), state: shapesOf(state) };
        const after = optimizer.update(grads, state, params, info);
        const need = 'must give { params, state }, and';
        requireSame('params', before.params, after?.params, need);
        requireSame('state', before.state, after?.state, need);
        requireColumns(after.diagnostics);
        return after;
      }),
    ...(curvature && { curvature: namedCurvature(title, curvature) }),
    health: (update, before) => namedNow(`${title}, health`, () => optimizer.health?.(update, before) ?? []),
  };
}

function namedCurvature(title: string, curvature: Curvature): Curvature {
  const { every } = curvature;
  if (!Number.isInteger(every) || every < 1) {
    throw new ConfigError(`${title}: curvature.every must be a whole number above 0, got ${every}`);
  }
  return {
    every,
    estimate: (objective, params, draw) =>
      namedNow(`${title}, curvature of update ${draw.step}`, () => {
        const before = shapesOf(params);
        const estimate = curvature.estimate(objective, params, draw);
        requireSame('estimate', before, estimate, 'must give tensors by parameter,');
        return estimate;
      }),
  };
}

/** Throws ConfigError for what is no number by the name of a column, or one of the run's. */
function requireColumns(diagnostics: unknown): void {
  if (diagnostics === undefined) return;
  if (!(diagnostics instanceof Map)) throw new ConfigError('diagnostics must be a Map of named tensors');
  for (const [name, value] of diagnostics) {
    if (isRunColumn(name)) throw new ConfigError(`diagnostics: the column ${name} is the run's own`);
    if (value?.shape?.length !== 0)
      throw new ConfigError(`diagnostics: ${name} must be a tensor of shape []`);
  }
}

type Shapes = ReadonlyMap<string, string>;

function shapesOf(tensors: Params | OptimizerState): Shapes {
  return new Map([...tensors].map(([name, { shape }]) => [name, `[${shape.join(', ')}]`]));
}

function requireSame(what: string, before: Shapes, tensors: unknown, need: string): void {
  if (!(tensors instanceof Map)) throw new ConfigError(`${need} ${what} a Map`);
  const after = shapesOf(tensors);
  for (const [name, shape] of before) {
    const came = after.get(name) ?? 'none';
    if (came !== shape) throw new ConfigError(`${what} must have ${name} of shape ${shape}, got ${came}`);
  }
  const stray = [...after.keys()].find((name) => !before.has(name));
  if (stray !== undefined) throw new ConfigError(`${what} has ${stray}, which was not there before`);
}

/** The same schedule, whose errors begin with its title; what it gives must be finite. */
export function namedSchedule(title: string, schedule: Schedule): Schedule {
  return (i) =>
    namedNow(`${title}, update ${i + 1}`, () => {
      const factor = schedule(i);
      if (Number.isFinite(factor)) return factor;
      throw new ConfigError(`must give a finite number, got ${factor}`);
    });
}

/** The same format, whose errors begin with its title. */
export function namedFormat(title: string, format: Format): Format {
  const { completion } = format;
  const own: Partial<Format> = {
    matches: (members) => namedNow(title, () => format.matches(members)),
    read: (row) => namedNow(title, () => format.read(row)),
    ...(completion && {
      completion: {
        ...completion,
        texts: (row, where) => namedNow(title, () => completion.texts(row, where)),
      },
    }),
  };
  return Object.assign(Object.create(format), own);
}
