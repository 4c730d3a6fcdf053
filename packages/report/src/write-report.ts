import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigError, makeFolder, onDisk, readWhole, writeAtomic } from '@flex/base';
import { type Chart, drawChart, pngOf, standalone } from './charts/chart.ts';
import { htmlMark, htmlPage } from './html-page.ts';
import { markdownMark, markdownPage } from './markdown-page.ts';
import { chartsIn, type Report } from './report.ts';

/** What a report is written into. */
export interface ReportFiles {
  readonly html: string;
  readonly markdown: string;
  /** A folder of the charts. */
  readonly charts: string;
}

/**
 * The files of a report at `out`, which ends in .html: report.md and the folder report-charts beside it.
 * Throws ConfigError for another name, for a folder that is not there, and for files that no report was
 * written into.
 */
export function reportFiles(out: string): ReportFiles {
  if (!/[^/\\]\.html$/.test(out))
    throw new ConfigError(`--out: must name a file that ends in .html, got ${out}`);
  if (!existsSync(dirname(out))) throw new ConfigError(`--out: there is no folder ${dirname(out)}`);
  const stem = out.slice(0, -'.html'.length);
  const files = { html: out, markdown: `${stem}.md`, charts: `${stem}-charts` };
  for (const [file, mark] of [
    [files.html, htmlMark],
    [files.markdown, markdownMark],
  ]) {
    if (!existsSync(file) || readWhole(file).toString().startsWith(mark)) continue;
    throw new ConfigError(`--out: ${file} is there, and no report was written into it; take another name`);
  }
  if (existsSync(files.charts) && !existsSync(files.markdown)) {
    throw new ConfigError(`--out: ${files.charts} is there, and is no report's; take another name`);
  }
  return files;
}

/** Draws a report and writes it, each file whole or not at all; charts of a report before it are removed. */
export async function writeReport(
  report: Report,
  { html, markdown, charts: folder }: ReportFiles,
  { png = false }: { readonly png?: boolean } = {},
): Promise<void> {
  const charts = report.sections.flatMap(({ blocks }) => chartsIn(blocks));
  const names = namesOf(charts);
  const drawings = new Map<Chart, string>();
  for (const chart of charts) drawings.set(chart, await drawChart(chart));
  makeFolder(folder);
  for (const [chart, svg] of drawings) {
    const file = join(folder, names.get(chart)!);
    writeAtomic(`${file}.svg`, standalone(svg));
    if (png) writeAtomic(`${file}.png`, await pngOf(svg));
  }
  writeAtomic(
    markdown,
    markdownPage(report, (chart) => `${basename(folder)}/${names.get(chart)}.svg`),
  );
  writeAtomic(html, htmlPage(report, drawings));
  const kept = new Set(
    [...names.values()].flatMap((name) => [`${name}.svg`, ...(png ? [`${name}.png`] : [])]),
  );
  for (const name of readdirSync(folder)) {
    if (/\.(svg|png)$/.test(name) && !kept.has(name)) onDisk(folder, () => rmSync(join(folder, name)));
  }
}

/** A file name for each chart: its own, and a number where another has it. */
function namesOf(charts: readonly Chart[]): Map<Chart, string> {
  const taken = new Map<string, number>();
  return new Map(
    charts.map((chart) => {
      const name = chart.name.slice(0, 100);
      const times = (taken.get(name) ?? 0) + 1;
      taken.set(name, times);
      return [chart, times === 1 ? name : `${name}-${times}`];
    }),
  );
}
