/**
 * @import { Header, RunRow } from '../messages.ts'
 * @import { ArmStyle } from './arm-style.mjs'
 */

import { duration, number, stateWords } from './words.mjs';

/**
 * A row of a table: its key, and what its cells hold.
 * @typedef {{ key: string, cells: Cell[], state?: string }} Row
 */
/** The first is the row's head. @typedef {string | HTMLElement} Cell */

/**
 * Writes a table anew where it has changed: cells whose text is the same stay as they are, and so does what
 * has the focus.
 * @param {HTMLTableElement} table
 * @param {readonly string[]} head
 * @param {readonly Row[]} rows
 */
export function fillTable(table, head, rows) {
  const top = table.tHead ?? table.createTHead();
  const body = table.tBodies[0] ?? table.createTBody();
  if (top.textContent !== head.join('')) {
    top.replaceChildren(element('tr', ...head.map((words) => withScope(element('th', words), 'col'))));
  }
  const before = new Map([...body.rows].map((row) => [row.dataset.key ?? '', row]));
  const now = rows.map(({ key, cells, state = '' }) => {
    const row = before.get(key) ?? element('tr');
    row.dataset.key = key;
    row.dataset.state = state;
    while (row.cells.length > cells.length) row.deleteCell(-1);
    cells.forEach((cell, i) => {
      const old = row.cells[i];
      if (!old) row.append(i === 0 ? withScope(element('th', cell), 'row') : element('td', cell));
      else if (typeof cell === 'string' ? old.textContent !== cell : old.firstChild !== cell) {
        old.replaceChildren(cell);
      }
    });
    return row;
  });
  const isSame = now.length === body.rows.length && now.every((row, i) => row === body.rows[i]);
  if (!isSame) body.replaceChildren(...now);
}

/**
 * Arms with how many of their runs are done and what these lost on held-out data.
 * @param {Header} header
 * @param {readonly RunRow[]} runs
 * @param {(arm: string) => HTMLElement} nameOf
 */
export function armRows({ arms }, runs, nameOf) {
  const sets = heldOutSets(runs);
  const rows = arms.map(({ name }) => {
    const own = runs.filter(({ arm }) => arm === name);
    const done = own.filter(({ state }) => state === 'done');
    const means = sets.map((set) => meanOf(done.map(({ heldOut }) => heldOut[set])));
    return { key: name, cells: [nameOf(name), `${done.length} of ${own.length}`, ...means] };
  });
  return { head: ['arm', 'done', ...sets], rows };
}

/**
 * Runs, first those that failed, then those that go on, last those that wait.
 * @param {readonly RunRow[]} runs
 * @param {number} now
 */
export function runRows(runs, now) {
  const sets = heldOutSets(runs);
  const states = ['failed', 'running', 'begun', 'interrupted', 'done', 'waiting', 'dropped'];
  const ordered = [...runs].sort((a, b) => states.indexOf(a.state) - states.indexOf(b.state));
  const rows = ordered.map((run) => ({
    key: run.name,
    state: run.state,
    cells: [
      run.name,
      stateWords[run.state],
      run.steps === null ? '' : `${run.step} of ${run.steps}`,
      run.step === 0 ? '' : number(run.loss),
      ...sets.map((set) => number(run.heldOut[set])),
      run.state === 'running' ? number(run.tokensPerSecond, 3) : '',
      run.step === 0 ? '' : duration(run.seconds),
      wordsOf(run, now),
    ],
  }));
  const measures = ['loss', ...sets, 'tokens a second', 'time of updates'];
  return { head: ['run', 'state', 'update', ...measures, 'what it says'], rows };
}

/** What went wrong, or that nothing was written for a while. @param {RunRow} run @param {number} now */
function wordsOf({ state, words, written }, now) {
  if (words !== null) return words;
  const silent = written === null ? 0 : (now - written) / 1000;
  const isOpen = state === 'running' || state === 'begun';
  return isOpen && silent > 60 ? `wrote nothing for ${duration(silent)}` : '';
}

/** @param {readonly RunRow[]} runs */
const heldOutSets = (runs) => [...new Set(runs.flatMap(({ heldOut }) => Object.keys(heldOut)))];

/** @param {readonly (number | null | undefined)[]} values */
function meanOf(values) {
  if (values.length === 0) return '';
  const areNumbers = values.every((value) => typeof value === 'number');
  return areNumbers ? number(values.reduce((sum, value) => sum + value, 0) / values.length) : 'not finite';
}

/** A piece of an arm's line. @param {ArmStyle} style */
export function swatch({ hue, dash }) {
  const space = 'http://www.w3.org/2000/svg';
  const picture = document.createElementNS(space, 'svg');
  picture.setAttribute('viewBox', '0 0 28 10');
  picture.setAttribute('class', 'swatch');
  picture.setAttribute('data-hue', hue);
  picture.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(space, 'line');
  for (const [name, value] of Object.entries({ x1: 0, x2: 28, y1: 5, y2: 5 })) {
    line.setAttribute(name, String(value));
  }
  line.setAttribute('stroke-dasharray', dash.join(' '));
  picture.append(line);
  return picture;
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {(string | Node)[]} children
 */
export function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

/** @param {HTMLTableCellElement} cell @param {string} scope */
function withScope(cell, scope) {
  cell.scope = scope;
  return cell;
}
