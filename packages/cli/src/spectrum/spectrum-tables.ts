import { printable } from '@flex/base';
import { type Interval, peftName, type Spectrum } from '@flex/peft';
import type { SpectrumLine } from '@flex/train';
import chalk from 'chalk';
import { newTable } from '../table.ts';
import { type AdapterSpectra, totalNames, totalsOf } from './adapter-spectra.ts';

/** The spectra by what they are of: one adapter, or two and their difference. */
export type NamedSpectra = ReadonlyMap<string, AdapterSpectra>;

/** What all parameters of a kind have together. */
export function totalsTable(named: NamedSpectra): string {
  const table = newTable({
    head: ['all modules', 'below T', '95 % of noise', 'power by frequency'],
    colAligns: ['left', 'right', 'right'],
  });
  const rows = [...named].flatMap(([of, spectra]) =>
    totalsOf(spectra).map(([name, one]) => [of, totalNames[name] ?? name, one] as const),
  );
  for (const [of, name, one] of rows) {
    const label = named.size > 1 ? `${name}: ${of}` : name;
    table.push([label, belowOf(one), noiseOf(one), sparkline(one)]);
  }
  return table.toString();
}

export function parameterTable({ parameters }: AdapterSpectra): string {
  const table = newTable({
    head: ['parameter', 'penalty', 'below T', 'noise', 'power by frequency'],
    colAligns: ['left', 'right', 'right', 'right'],
  });
  for (const [name, one] of parameters.each) {
    const penalty = one.penalty.toPrecision(3);
    table.push([shortName(peftName(name)), penalty, belowOf(one), noiseOf(one), sparkline(one)]);
  }
  return table.toString();
}

export function productTable({ products: { inputs, outputs, singularValues } }: AdapterSpectra): string {
  const table = newTable({
    head: ['s·B·A', 'inputs', 'outputs', 'σ₁', 'σᵣ', 'stable rank'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const [path, values] of singularValues) {
    table.push([
      shortName(path),
      belowOf(inputs.each.get(path)!),
      belowOf(outputs.each.get(path)!),
      values[0].toPrecision(3),
      values.at(-1)!.toPrecision(3),
      stableRank(values).toFixed(2),
    ]);
  }
  return table.toString();
}

/** Two adapters and their difference, one below the other by parameter and by module. */
export function differenceTables(named: NamedSpectra): string[] {
  const [first, , difference] = [...named.values()];
  const relative = (part: number, whole: number) => (whole > 0 ? percent(Math.sqrt(part / whole)) : '');
  const parameters = newTable({
    head: ['below T of', ...named.keys(), 'size of it'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  for (const [name, one] of difference.parameters.each) {
    const shares = [...named.values()].map((spectra) => belowOf(spectra.parameters.each.get(name)!));
    const whole = first.parameters.each.get(name)!.power;
    parameters.push([shortName(peftName(name)), ...shares, relative(one.power, whole)]);
  }
  const products = newTable({
    head: ['σ₁ of s·B·A', ...named.keys(), 'size of it'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  for (const [path, values] of difference.products.singularValues) {
    const largest = [...named.values()].map((spectra) =>
      spectra.products.singularValues.get(path)![0].toPrecision(3),
    );
    const whole = squares(first.products.singularValues.get(path)!);
    products.push([shortName(path), ...largest, relative(squares(values), whole)]);
  }
  return [parameters.toString(), products.toString()];
}

/** A run update by update. */
export function runTable(lines: readonly SpectrumLine[]): string {
  const table = newTable({
    head: ['updates', ...lines[0].totals.map(({ name }) => name), '‖s·B·A‖', 'σ₁'],
    colAligns: ['right', 'right', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const { step, totals, products } of lines) {
    const { norm, largest } = sizeOf(products);
    const shares = totals.map(({ power, share_below }) => (power > 0 ? percent(share_below) : '–'));
    table.push([step, ...shares, norm.toPrecision(4), largest.toPrecision(4)]);
  }
  return table.toString();
}

/** ‖ΔW‖ of all products as one, and their largest singular value. */
export function sizeOf(products: SpectrumLine['products']): { norm: number; largest: number } {
  const all = products.flatMap(({ singular_values }) => singular_values);
  return { norm: Math.sqrt(squares(all)), largest: all.reduce((most, x) => Math.max(most, x), 0) };
}

/** How many of the spectra have a share below T that noise has in one case of twenty; null without noise. */
export function outside(spectra: Iterable<Spectrum>): { outside: number; of: number } | null {
  const all = [...spectra].filter(({ noise }) => noise !== null);
  if (all.length === 0) return null;
  return { outside: all.filter(({ below, noise }) => isOutside(below, noise!.below)).length, of: all.length };
}

function isOutside(share: number, [low, high]: Interval): boolean {
  return share < low || share > high;
}

/** The share below T, with a star where it is not noise. */
function belowOf({ below, noise }: Spectrum): string {
  if (noise === null) return percent(below);
  return isOutside(below, noise.below) ? chalk.bold(`${percent(below)}*`) : `${percent(below)} `;
}

function noiseOf({ noise }: Spectrum): string {
  return noise === null ? '' : noise.below.map((share) => (100 * share).toFixed(1)).join('–');
}

/** Pairs of bands as blocks of growing height, the largest full. */
function sparkline({ bands }: Spectrum): string {
  const pairs = bands.flatMap((share, i) => (i % 2 === 0 ? [share + (bands[i + 1] ?? 0)] : []));
  const largest = Math.max(...pairs);
  const blocks = ' ▁▂▃▄▅▆▇█';
  return chalk.cyan(
    pairs.map((share) => blocks[largest > 0 ? Math.ceil((8 * share) / largest) : 0]).join(''),
  );
}

const nameWidth = 20;

/** `0.mlp.up_proj.A` of `base_model.model.model.layers.0.mlp.up_proj.lora_A.weight`; the end of a longer one. */
function shortName(name: string): string {
  const short = name
    .replace(/^base_model\.model\./, '')
    .replace(/^model\.(layers\.)?/, '')
    .replace(/lora_([AB])\.weight$/, '$1');
  return printable(short.length > nameWidth ? `…${short.slice(1 - nameWidth)}` : short);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** ‖W‖²/σ₁², of a matrix's singular values; 0 of a zero matrix. */
function stableRank(values: readonly number[]): number {
  return values[0] > 0 ? squares(values) / values[0] ** 2 : 0;
}

function squares(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x * x, 0);
}
