import { ConfigError } from '@flex/base';
import type { Optimizer, OptimizerState, Params } from '@flex/optim';
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
 * The same optimizer, whose errors say its name and the update, and whose update must give every parameter
 * and every tensor of its state under its name and of its shape: a checkpoint holds them by these.
 */
export function namedOptimizer(name: string, optimizer: Optimizer): Optimizer {
  const label = `optimizer "${name}"`;
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
        requireSame('params', before.params, after?.params);
        requireSame('state', before.state, after?.state);
        return after;
      }),
  };
}

type Shapes = ReadonlyMap<string, string>;

function shapesOf(tensors: Params | OptimizerState): Shapes {
  return new Map([...tensors].map(([name, { shape }]) => [name, `[${shape.join(', ')}]`]));
}

function requireSame(what: string, before: Shapes, tensors: unknown): void {
  if (!(tensors instanceof Map)) throw new ConfigError(`must give { params, state }, and ${what} a Map`);
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
