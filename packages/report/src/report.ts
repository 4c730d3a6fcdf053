import type { Chart } from './charts/chart.ts';
import type { Colour } from './palette.ts';

/** A report: what it says, in whatever format it is written. Texts are plain; a renderer makes them safe. */
export interface Report {
  readonly title: string;
  /** A sentence or two on what it is of. */
  readonly summary: readonly string[];
  readonly sections: readonly Section[];
  /** The code that drew it. */
  readonly footer: string;
}

export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export type Block =
  | { readonly kind: 'heading' | 'text'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'table'; readonly table: Table }
  /** Side by side where there is room. */
  | { readonly kind: 'charts'; readonly charts: readonly Chart[] }
  /** Closed until it is asked for. */
  | { readonly kind: 'folded'; readonly summary: string; readonly blocks: readonly Block[] };

/** The first column names what its row is of. */
export interface Table {
  readonly caption: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** A text, or one with the colour that charts have for it. */
export type Cell = string | { readonly text: string; readonly colour: Colour };

export const heading = (text: string): Block => ({ kind: 'heading', text });
export const paragraph = (text: string): Block => ({ kind: 'text', text });
export const tableOf = (caption: string, columns: readonly Column[], rows: Table['rows']): Block => ({
  kind: 'table',
  table: { caption, columns, rows },
});
/** The charts, or nothing where there are none. */
export const chartsOf = (charts: readonly (Chart | null)[]): Block[] => {
  const drawn = charts.filter((chart) => chart !== null);
  return drawn.length === 0 ? [] : [{ kind: 'charts', charts: drawn }];
};

/** All charts of a report, in its order. */
export function chartsIn(blocks: readonly Block[]): Chart[] {
  return blocks.flatMap((block) => {
    if (block.kind === 'charts') return block.charts;
    return block.kind === 'folded' ? chartsIn(block.blocks) : [];
  });
}

/** A name for a file or an anchor, made of any text. */
export function anchorOf(text: string): string {
  return (
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}.=_]+/gu, '-')
      .replace(/^[-.]+|[-.]+$/g, '') || 'x'
  );
}
