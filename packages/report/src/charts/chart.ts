import * as vega from 'vega';
import { type Config, compile, type TopLevelSpec } from 'vega-lite';
import { css, inLight, paletteStyle } from '../palette.ts';
import { publicText } from '../public-text.ts';

/** A drawing of a report. */
export interface Chart {
  /** Of its file, unlike all others of the report. */
  readonly name: string;
  readonly title: string;
  /** What it shows, for who cannot see it: its axes, and what is drawn. */
  readonly description: string;
  /** What its marks mean that the chart itself does not say; may be empty. */
  readonly caption: string;
  /** Of Vega-Lite, without its title and its width. */
  readonly spec: object;
}

/** CSS pixels of a chart with its labels: it fits a telephone. */
export const chartWidth = 344;

/** What Vega exports and does not declare: how wide it takes a text to be. */
const { textMetrics } = vega as unknown as {
  readonly textMetrics: { width(item: { readonly fontSize?: number }, text: unknown): number };
};
// Without a canvas Vega takes a letter for 0.8 of its font's size, which is that of no font.
textMetrics.width = ({ fontSize = 11 }, text) => 0.56 * fontSize * String(text ?? '').length;

const font = 'system-ui,-apple-system,Segoe UI,Liberation Sans,DejaVu Sans,sans-serif';

const config: Config = {
  background: undefined,
  aria: false,
  padding: 3,
  autosize: { type: 'fit-x', contains: 'padding' },
  view: { stroke: null },
  title: { anchor: 'start', frame: 'group', fontSize: 12.5, fontWeight: 600, color: css('ink'), offset: 8 },
  axis: {
    labelColor: css('soft'),
    titleColor: css('soft'),
    titleFontWeight: 'normal',
    labelFontSize: 10.5,
    titleFontSize: 11,
    gridColor: css('rule'),
    domainColor: css('soft'),
    tickColor: css('soft'),
    tickSize: 4,
    labelPadding: 3,
  },
  axisX: { grid: false, tickCount: 5 },
  axisY: { tickCount: 5, domain: false, ticks: false },
  legend: {
    orient: 'top',
    direction: 'horizontal',
    title: null,
    labelColor: css('ink'),
    labelFontSize: 11,
    labelLimit: chartWidth - 50,
    symbolStrokeWidth: 2.2,
    symbolOpacity: 1,
    symbolSize: 180,
    columnPadding: 14,
    rowPadding: 2,
    offset: 4,
  },
};

/** The chart as SVG whose colours are the names of palette.ts; `paletteStyle` says what they are. */
export async function drawChart({ title, description, spec }: Chart): Promise<string> {
  const { spec: drawing } = compile({ ...spec, title: wrapped(title), width: chartWidth } as TopLevelSpec, {
    config,
  });
  const view = new vega.View(vega.parse(drawing), { renderer: 'none' });
  const drawn = await view.toSVG().finally(() => view.finalize());
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(drawn)!.map(Number);
  const inside = tidied(drawn.slice(drawn.indexOf('>') + 1));
  const label = escaped(publicText(`${title}: ${description}`));
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${label}" ` +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${font}">${inside}`
  );
}

/** The same as a file of its own, light and dark by itself. */
export function standalone(svg: string): string {
  const style = `<style>${paletteStyle('svg')} svg{background:var(--paper)}</style>`;
  return `${svg.slice(0, svg.indexOf('>') + 1)}${style}${svg.slice(svg.indexOf('>') + 1)}\n`;
}

/** The drawing as PNG, light, twice as many pixels; text needs a font on this machine. */
export async function pngOf(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  const font = {
    loadSystemFonts: true,
    defaultFontFamily: 'Liberation Sans',
    sansSerifFamily: 'DejaVu Sans',
  };
  return new Resvg(inLight(svg), { background: '#ffffff', fitTo: { mode: 'zoom', value: 2 }, font })
    .render()
    .asPng();
}

/** Without what draws nothing, and with two decimals of a pixel. */
function tidied(svg: string): string {
  return svg
    .replace(/<text [^>]* opacity="0"[^>]*>[^<]*<\/text>/g, '')
    .replace(/<path class="(?:background|foreground)"(?![^>]* (?:fill|stroke)=)[^>]*\/>/g, '')
    .replace(/ (?:role|pointer-events|class|aria-[a-z]+)="[^"]*"/g, '')
    .replace(/ opacity="1"| stroke-dasharray="1,0"| font-family="[^"]*"| font-weight="normal"/g, '')
    .replace(/(?<=[\s",(MLHVCAZa-z-])\d+\.\d{3,}(?![^<>]*<\/text>)/g, (number) =>
      String(+(+number).toFixed(2)),
    )
    .replace(/>([^<]+)</g, (_, text: string) => `>${publicText(text)}<`);
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** A title in lines that are no wider than the axes. */
function wrapped(title: string): string[] {
  const lines: string[] = [''];
  for (const word of title.split(' ')) {
    const line = `${lines.at(-1)} ${word}`.trim();
    if (line.length > 40 && lines.at(-1) !== '') lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return lines;
}
