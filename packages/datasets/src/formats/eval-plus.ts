import { DataError, show } from '@flex/base';
import type { Format, Row } from '../format.ts';
import { has, taskId, text } from '../row.ts';

/** A row of EvalPlus: a problem of HumanEval or MBPP with further inputs. */
export interface EvalPlusRow extends Row {
  readonly prompt: string;
  readonly entryPoint: string;
  readonly canonical: string;
  /** The row's own JSON: its inputs are Python's, with 1.0, 2**64 and NaN, which a value of JavaScript loses. */
  readonly json: string;
}

/**
 * EvalPlus (Liu et al. 2023), `{task_id, prompt, entry_point, canonical_solution, base_input, plus_input, atol}`: what
 * evalplus publishes as HumanEvalPlus.jsonl and MbppPlus.jsonl. An input is a list of arguments.
 */
export const evalPlus: Format<EvalPlusRow> = {
  name: 'evalplus',
  shape: '{task_id, prompt, entry_point, canonical_solution, base_input, plus_input, atol}',
  mbppIds: /^Mbpp\/\d+$/i,
  matches: (row) => has(row, 'task_id', 'prompt', 'entry_point', 'base_input', 'plus_input'),
  read(row) {
    const { where, value } = row;
    const entryPoint = text(row, 'entry_point');
    const require = (key: string, what: string, holds: boolean) => {
      if (!holds) throw new DataError(`${where}: ${key} must be ${what}, got ${show(value[key])}`);
    };
    require('entry_point', 'the name of a function', /^[A-Za-z_]\w*$/.test(entryPoint));
    for (const key of ['base_input', 'plus_input'])
      require(key, 'a list of lists', isListOfLists(value[key]));
    require('base_input', 'a list with an input', (value.base_input as unknown[]).length > 0);
    require('atol', 'a number from 0', typeof value.atol === 'number' && value.atol >= 0);
    return {
      id: taskId(row),
      prompt: text(row, 'prompt'),
      entryPoint,
      canonical: text(row, 'canonical_solution'),
      json: row.text,
    };
  },
};

function isListOfLists(value: unknown): boolean {
  return Array.isArray(value) && value.every(Array.isArray);
}
