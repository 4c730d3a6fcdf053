import { printable } from '@flex/base';
import type { Chart } from './charts/chart.ts';
import { publicText } from './public-text.ts';
import type { Block, Cell, Report, Table } from './report.ts';

/** What a report in Markdown begins with, by which it is known that one may be replaced. */
export const markdownMark = '<!-- flex report -->';

/** The report as Markdown, its charts as pictures at the addresses that `addressOf` gives. */
export function markdownPage(report: Report, addressOf: (chart: Chart) => string): string {
  const { title, summary, sections, footer } = report;
  const pieces = [
    markdownMark,
    `# ${safe(title)}`,
    ...summary.map(safe),
    ...sections.flatMap((section) => [
      `## ${safe(section.title)}`,
      ...section.blocks.map((block) => markdownOf(block, addressOf)),
    ]),
    `---\n\n${safe(footer)}`,
  ];
  return `${pieces.join('\n\n')}\n`;
}

function markdownOf(block: Block, addressOf: (chart: Chart) => string): string {
  switch (block.kind) {
    case 'heading':
      return `### ${safe(block.text)}`;
    case 'text':
      return safe(block.text);
    case 'list':
      return block.items.map((item) => `- ${safe(item)}`).join('\n');
    case 'table':
      return tableText(block.table);
    case 'charts':
      return chartsText(block.charts, addressOf);
    case 'folded': {
      const inside = block.blocks.map((one) => markdownOf(one, addressOf)).join('\n\n');
      return `<details><summary>${safe(block.summary)}</summary>\n\n${inside}\n\n</details>`;
    }
  }
}

/** The pictures, and beneath them what their marks mean, each meaning once. */
function chartsText(charts: readonly Chart[], addressOf: (chart: Chart) => string): string {
  const pictures = charts.map(
    (chart) => `![${safe(`${chart.title}: ${chart.description}`)}](${addressOf(chart)})`,
  );
  const meanings = new Set(charts.flatMap(({ caption }) => (caption === '' ? [] : [`*${safe(caption)}*`])));
  return [pictures.join('\n'), ...meanings].join('\n\n');
}

function tableText({ caption, columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `*${safe(caption)}*`,
    '',
    line(columns.map(({ title }) => safe(title))),
    line(columns.map(({ align }) => (align === 'right' ? '---:' : '---'))),
    ...rows.map((row) => line(row.map((cell) => safe(textOf(cell))))),
  ].join('\n');
}

const textOf = (cell: Cell) => (typeof cell === 'string' ? cell : cell.text);

/** Any text as Markdown has it, in one line. */
function safe(text: string): string {
  return printable(publicText(text).replace(/\s+/g, ' '))
    .replace(/[\\`*_[\]<>|~#]/g, '\\$&')
    .replace(/&/g, '&amp;');
}
