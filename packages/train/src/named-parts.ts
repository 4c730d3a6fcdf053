import { ConfigError } from '@flex/base';
import type { Curvature, Optimizer, OptimizerState, Params } from '@flex/optim';
import type { Regularizer } from '@flex/peft';
import { namedError } from './named-error.ts';
import { lineColumns } from './run.ts';

/** The same regularizer, whose errors say its name and the update. */
export function namedRegularizer(name: string, regularizer: Regularizer): Regularizer {
  const label = `regularizer "${name}"`;
  const { diagnostics } = regularizer;
  return {
    penalty: (adapters, step) =>
      during(`${label}, update ${step}`, () => {
        const penalty = regularizer.penalty(adapters, step);
        if (typeof penalty === 'object' && penalty?.shape?.length === 0) return penalty;
        throw new ConfigError('penalty() must give a tensor of shape []');
      }),
    ...(diagnostics && {
      diagnostics: async (adapters) => {
        try {
          const columns = await diagnostics.call(regularizer, adapters);
          const taken = Object.keys(columns).find((key) => lineColumns.includes(key as never));
          if (taken) throw new ConfigError(`the column ${taken} is the run's own`);
          return columns;
        } catch (cause) {
          throw namedError(`${label}, diagnostics`, cause);
        }
      },
    }),
  };
}

/**
 * The same optimizer, whose errors say its name and the update. Its update must give every parameter and
 * every tensor of its state under its name and of its shape: a checkpoint holds them by these; its
 * curvature every parameter, and what it tells numbers under names that are not the run's own.
 */
export function namedOptimizer(name: string, optimizer: Optimizer): Optimizer {
  const label = `optimizer "${name}"`;
  const { curvature } = optimizer;
  return {
    lr: optimizer.lr,
    init: (params) =>
      during(`${label}, init`, () => {
        const state = optimizer.init(params);
        if (!(state instanceof Map)) throw new ConfigError('must give a Map of named tensors');
        return state;
      }),
    update: (grads, state, params, info) =>
      during(`${label}, update ${info.step}`, () => {
        const before = { params: shapesOf(params), state: shapesOf(state) };
        const after = optimizer.update(grads, state, params, info);
        const need = 'must give { params, state }, and';
        requireSame('params', before.params, after?.params, need);
        requireSame('state', before.state, after?.state, need);
        requireColumns(after.diagnostics);
        return after;
      }),
    ...(curvature && { curvature: namedCurvature(label, curvature) }),
    health: (update, before) => during(`${label}, health`, () => optimizer.health?.(update, before) ?? []),
  };
}

function namedCurvature(label: string, curvature: Curvature): Curvature {
  const { every } = curvature;
  if (!Number.isInteger(every) || every < 1) {
    throw new ConfigError(`${label}: curvature.every must be a whole number above 0, got ${every}`);
  }
  return {
    every,
    estimate: (objective, params, draw) =>
      during(`${label}, curvature of update ${draw.step}`, () => {
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
    if (lineColumns.includes(name)) throw new ConfigError(`diagnostics: the column ${name} is the run's own`);
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

function during<T>(label: string, f: () => T): T {
  try {
    return f();
  } catch (cause) {
    throw namedError(label, cause);
  }
}
