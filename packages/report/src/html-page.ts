import { printable } from '@flex/base';
import type { Chart } from './charts/chart.ts';
import { pageStyle } from './page-style.ts';
import { css } from './palette.ts';
import { publicText } from './public-text.ts';
import { anchorOf, type Block, type Cell, type Report, type Table } from './report.ts';

/** What a file of a report begins with, by which it is known that one may be replaced. */
export const htmlMark = '<!doctype html><!-- flex report -->';

/** Items of a list; longer ones have two columns where there is room. */
const mostInColumn = 8;

/**
 * The report as one HTML file that loads nothing and runs nothing, its charts from `drawings`, which has the SVG
 * of each. Paths in it are shortened (`publicText`).
 */
export function htmlPage(report: Report, drawings: ReadonlyMap<Chart, string>): string {
  const { title, summary, sections, footer } = report;
  const links = sections.map(
    (section) => `<li><a href="#${anchorOf(section.title)}">${safe(section.title)}</a></li>`,
  );
  const body = sections.map(
    (section) =>
      `<section aria-labelledby="${anchorOf(section.title)}">\n<h2 id="${anchorOf(section.title)}">` +
      `${safe(section.title)}</h2>\n${section.blocks.map((block) => htmlOf(block, drawings)).join('\n')}\n</section>`,
  );
  return [
    htmlMark,
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">',
    `<title>${safe(title)}</title>`,
    `<style>\n${pageStyle}\n</style>`,
    '</head>',
    '<body>',
    `<header>\n<h1>${safe(title)}</h1>`,
    ...summary.map((line) => `<p>${safe(line)}</p>`),
    `<nav aria-label="Sections"><ul>${links.join('')}</ul></nav>\n</header>`,
    '<main>',
    ...body,
    '</main>',
    `<footer><p>${safe(footer)}</p></footer>`,
    '</body>',
    '</html>\n',
  ].join('\n');
}

function htmlOf(block: Block, drawings: ReadonlyMap<Chart, string>): string {
  switch (block.kind) {
    case 'heading':
      return `<h3>${safe(block.text)}</h3>`;
    case 'text':
      return `<p>${safe(block.text)}</p>`;
    case 'list':
      return `<ul${block.items.length > mostInColumn ? ' class="many"' : ''}>${block.items.map((item) => `<li>${safe(item)}</li>`).join('\n')}</ul>`;
    case 'table':
      return tableHtml(block.table);
    case 'charts':
      return `<div class="charts">\n${block.charts.map((chart) => figure(chart, drawings)).join('\n')}\n</div>`;
    case 'folded': {
      const inside = block.blocks.map((one) => htmlOf(one, drawings)).join('\n');
      return `<details>\n<summary>${safe(block.summary)}</summary>\n${inside}\n</details>`;
    }
  }
}

function figure(chart: Chart, drawings: ReadonlyMap<Chart, string>): string {
  const caption = chart.caption === '' ? '' : `\n<figcaption>${safe(sentence(chart.caption))}</figcaption>`;
  return `<figure>\n${drawings.get(chart)!}${caption}\n</figure>`;
}

/** A table that scrolls by itself where it is wider than the page, with the keyboard too. */
function tableHtml({ caption, columns, rows }: Table): string {
  const side = (i: number) => (columns[i].align === 'right' ? ' class="right"' : '');
  const head = columns.map(({ title }, i) => `<th scope="col"${side(i)}>${safe(title)}</th>`).join('');
  const body = rows.map((row) => {
    const cells = row.map((cell, i) => {
      if (i === 0) return `<th scope="row">${cellHtml(cell)}</th>`;
      const isLong = typeof cell === 'string' && cell.length > 60;
      return `<td${isLong ? ' class="long"' : side(i)}>${cellHtml(cell)}</td>`;
    });
    return `<tr>${cells.join('')}</tr>`;
  });
  return [
    `<div class="table" role="group" tabindex="0" aria-label="${safe(caption)}">`,
    `<table>\n<caption>${safe(caption)}</caption>`,
    `<thead><tr>${head}</tr></thead>`,
    `<tbody>\n${body.join('\n')}\n</tbody>`,
    '</table>\n</div>',
  ].join('\n');
}

function cellHtml(cell: Cell): string {
  if (typeof cell === 'string') return safe(cell);
  const { text, colour } = cell;
  const square = `<rect width="10" height="10" rx="2" fill="${css(colour)}"/>`;
  return `<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">${square}</svg>${safe(text)}`;
}

const sentence = (text: string) => `${text[0].toUpperCase()}${text.slice(1)}.`;

/** Any text as HTML has it, without what may not be published or could turn the reading direction. */
function safe(text: string): string {
  return printable(publicText(text))
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
