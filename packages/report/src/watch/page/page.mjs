// Follows what the server tells, and shows it.

/**
 * @import { Header, Update } from '../messages.ts'
 */

import { armStyles } from './arm-style.mjs';
import { choose, drawCurves, recolourCurves } from './curves.mjs';
import { store } from './store.mjs';
import { armRows, element, fillTable, runRows, swatch } from './tables.mjs';
import { columnWords, countStates, progressWords } from './words.mjs';

/** @template {HTMLElement} T @param {string} selector @param {new () => T} kind @returns {T} */
function find(selector, kind) {
  const found = document.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the page has no ${selector}`);
  return found;
}

const connection = find('#connection', HTMLElement);
const problem = find('#problem', HTMLElement);
const charts = find('#charts', HTMLElement);
const columnChoice = find('#columns', HTMLFieldSetElement);
const view = find('#view', HTMLFieldSetElement);

/** Milliseconds until another try where the server is not there. */
const retry = 2000;
/** @type {EventSource | null} */
let source = null;
/** Columns that were asked for; none: the usual ones. @type {string[]} */
let asked = choiceOf('columns');
/** Arms that are shown alone; none: all. @type {Set<string>} */
const chosenArms = new Set(choiceOf('arms'));
/** Switches of arms by name. @type {Map<string, HTMLButtonElement>} */
const switches = new Map();

function connect() {
  source?.close();
  const query = new URLSearchParams(asked.map((column) => ['column', column]));
  const own = new EventSource(`events?${query}`);
  source = own;
  let isFirst = true;
  own.onopen = () => {
    isFirst = true;
    tell('live', 'Live');
  };
  own.onmessage = ({ data }) => {
    if (isFirst) store.forget();
    isFirst = false;
    take(JSON.parse(data));
  };
  own.onerror = () => {
    tell('wait', 'Not connected; trying again');
    if (own.readyState === EventSource.CLOSED && source === own) setTimeout(connect, retry);
  };
}

/** @param {string} state @param {string} words */
function tell(state, words) {
  connection.dataset.state = state;
  connection.textContent = words;
}

/** @param {Update} update */
function take(update) {
  const before = store.header;
  if (before && update.header && update.header.page !== before.page) return location.reload();
  const columns = store.apply(update);
  if (update.header) showHeader(update.header, before);
  if (update.header || update.rows?.length) showRows();
  drawCurves(charts, columns);
}

/** @param {Header} header @param {Header | null} before */
function showHeader(header, before) {
  const { title, folder, kind, arms, runs, read } = header;
  document.title = `${title}, flex watch`;
  find('#title', HTMLElement).textContent = title;
  find('#folder', HTMLElement).textContent = folder;
  const reading = read < runs.length ? `Reading: ${read} of ${runs.length} runs are read` : '';
  problem.hidden = header.problem === null && reading === '';
  problem.textContent = header.problem ?? reading;
  find('#arms', HTMLElement).hidden = kind === 'run';
  view.hidden = kind === 'run';
  document.body.dataset.kind = kind;
  if (JSON.stringify(arms) !== JSON.stringify(before?.arms)) showSwitches(header);
  if (header.columns.join('\n') !== before?.columns.join('\n')) showColumns(header);
}

function showRows() {
  const runs = store.runs();
  const { header } = store;
  if (!header) return;
  find('#progress-words', HTMLElement).textContent = progressWords(runs);
  const counts = countStates(runs);
  const share =
    runs.length === 1
      ? [
          { state: 'done', count: runs[0].step },
          { state: 'waiting', count: (runs[0].steps ?? 1) - runs[0].step },
        ]
      : counts;
  find('#progress-bar', HTMLElement).replaceChildren(
    ...share.map(({ state, count }) => {
      const part = element('span');
      part.dataset.state = state;
      part.style.flexGrow = String(count);
      return part;
    }),
  );
  const arms = armRows(header, runs, (arm) => switches.get(arm) ?? element('span', arm));
  fillTable(find('#arms table', HTMLTableElement), arms.head, arms.rows);
  const table = runRows(runs, Date.now());
  fillTable(find('#runs table', HTMLTableElement), table.head, table.rows);
}

/** @param {Header} header */
function showSwitches({ arms }) {
  const styles = armStyles(arms);
  for (const { name } of arms) {
    if (switches.has(name)) continue;
    const style = styles.get(name);
    const own = element('button', ...(style ? [swatch(style)] : []), element('span', ...breakable(name)));
    own.type = 'button';
    own.setAttribute('aria-pressed', String(chosenArms.has(name)));
    own.addEventListener('click', () => {
      if (!chosenArms.delete(name)) chosenArms.add(name);
      own.setAttribute('aria-pressed', String(chosenArms.has(name)));
      chosen();
    });
    switches.set(name, own);
  }
}

/** @param {Header} header */
function showColumns({ columns, usual }) {
  const isOn = (/** @type {string} */ column) => (asked.length > 0 ? asked : usual).includes(column);
  const labels = columns.map((column) => {
    const box = element('input');
    box.type = 'checkbox';
    box.name = column;
    box.checked = isOn(column);
    return element('label', box, ` ${columnWords(column).title}`);
  });
  columnChoice.replaceChildren(columnChoice.children[0], ...labels);
}

columnChoice.addEventListener('change', () => {
  const boxes = [...columnChoice.querySelectorAll('input')];
  asked = boxes.filter(({ checked }) => checked).map(({ name }) => name);
  if (asked.length === 0 && store.header) showColumns(store.header);
  chosen();
  connect();
});
view.addEventListener('change', chosen);

/** Shows what is chosen, and keeps it in the page's address for the next time that it is loaded. */
function chosen() {
  const kind = viewOf();
  choose({ view: kind, arms: chosenArms });
  const kept = new URLSearchParams([
    ['view', kind],
    ...asked.map((column) => ['columns', column]),
    ...[...chosenArms].map((arm) => ['arms', arm]),
  ]);
  history.replaceState(null, '', `#${kept}`);
}

/** @returns {'runs' | 'arms'} */
function viewOf() {
  return find('input[value=arms]', HTMLInputElement).checked ? 'arms' : 'runs';
}

/** What the page's address keeps under a name. @param {string} name */
function choiceOf(name) {
  return new URLSearchParams(location.hash.slice(1)).getAll(name);
}

/** A name that breaks after a + alone. @param {string} name */
function breakable(name) {
  return name.split(/(?<=\+)/).flatMap((part) => {
    const whole = element('span', part);
    whole.className = 'part';
    return [whole, element('wbr')];
  });
}

if (choiceOf('view').includes('arms')) find('input[value=arms]', HTMLInputElement).checked = true;
choose({ view: viewOf(), arms: chosenArms });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolourCurves);
// A page that nobody sees asks for nothing.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') return connect();
  source?.close();
  tell('wait', 'Paused while out of sight');
});
connect();
