/**
 * @import { RunRow, RunState } from '../messages.ts'
 */

/**
 * Titles and units of columns; of another one its name is all that is known.
 * @type {Record<string, [title: string, unit: string]>}
 */
const known = {
  loss: ['Training loss', 'nats a token'],
  penalty: ['Penalty, before λ', ''],
  grad_norm: ['Norm of the gradient, before clipping', ''],
  task_grad_norm: ['Norm of the task’s gradient', ''],
  tokens_per_second: ['Speed', 'tokens a second'],
  lr: ['Learning rate', ''],
  update_ratio: ['Change by weights', '‖change‖ / ‖weights‖'],
  seconds: ['Time of an update', 'seconds'],
  memory_bytes: ['Most memory so far', 'bytes'],
  tokens: ['Tokens of an update', 'tokens'],
  share_below: ['Power below the threshold', 'share of 1'],
};

/** What a column is called. @param {string} column @returns {{ title: string, unit: string }} */
export function columnWords(column) {
  if (column.startsWith('eval.')) {
    return { title: `Held-out loss, ${column.slice('eval.'.length)}`, unit: 'nats a token' };
  }
  const [title, unit] = known[column] ?? [column, ''];
  return { title, unit };
}

/** A number in so many digits. @param {number | null | undefined} value */
export function number(value, digits = 4) {
  if (value === undefined) return '';
  if (value === null) return 'not finite';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(digits - 1);
  return size >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(digits);
}

/** `1 h 02 min`, `3 min 05 s` or `12 s`. @param {number} seconds */
export function duration(seconds) {
  const s = Math.round(seconds);
  /** @param {number} n */
  const two = (n) => String(n).padStart(2, '0');
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${two(s % 60)} s` : `${s} s`;
}

/** States in the order in which they are told. @type {Record<RunState, string>} */
export const stateWords = {
  done: 'done',
  running: 'running',
  begun: 'stopped, or elsewhere',
  interrupted: 'interrupted',
  failed: 'failed',
  waiting: 'waiting',
  dropped: 'dropped',
};

/** Runs by their state, those of none left out. @param {readonly RunRow[]} runs */
export function countStates(runs) {
  return /** @type {RunState[]} */ (Object.keys(stateWords))
    .map((state) => ({ state, count: runs.filter((run) => run.state === state).length }))
    .filter(({ count }) => count > 0);
}

/**
 * How far all is, in a sentence. The time left is that of the updates which are left, as long as those that
 * were made took, in as many runs at once as there are now; null where nothing runs.
 * @param {readonly RunRow[]} runs
 */
export function progressWords(runs) {
  if (runs.length === 1) {
    const [{ state, step, steps }] = runs;
    return `${upper(stateWords[state])}: update ${step}${steps === null ? '' : ` of ${steps}`}${leftWords(runs)}`;
  }
  const states = countStates(runs).filter(({ state }) => state !== 'done');
  const done = runs.filter(({ state }) => state === 'done').length;
  const others = states.map(({ state, count }) => `, ${count} ${stateWords[state]}`).join('');
  return `${done} of ${runs.length} runs are done${others}${leftWords(runs)}`;
}

/** @param {readonly RunRow[]} runs */
function leftWords(runs) {
  const running = runs.filter(({ state }) => state === 'running');
  const made = sum(runs, ({ step }) => step);
  const lengths = runs.flatMap(({ steps }) => steps ?? []);
  if (running.length === 0 || made === 0 || lengths.length === 0) return '';
  const usual = sum(lengths, (steps) => steps) / lengths.length;
  const open = runs.filter(({ state }) => ['running', 'begun', 'waiting'].includes(state));
  const left = sum(open, ({ step, steps }) => (steps ?? usual) - step);
  const seconds = (left * sum(runs, (run) => run.seconds)) / made / running.length;
  return `; updates for about ${duration(seconds)} are left`;
}

/** @template T @param {readonly T[]} list @param {(one: T) => number} of */
const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);

/** @param {string} text */
const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
