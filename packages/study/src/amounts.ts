import type { Measure } from './analysis.ts';

type Unit = Pick<Measure, 'unit'>;

/** A difference in its unit's digits and with its sign: `−0.0123`, `+4.2`, of shares in points. */
export function signed(value: number, { unit }: Unit): string {
  return `${value < 0 ? '−' : '+'}${size(Math.abs(value), unit)}`;
}

/** A size with its unit: `0.0123 nats`, `4.2 points`. */
export function withUnit(value: number, { unit }: Unit): string {
  return `${size(value, unit)} ${unit === 'share' ? 'points' : 'nats'}`;
}

/** `p = 0.031`, `p < 0.0001`. */
export function pText(p: number): string {
  return p < 1e-4 ? 'p < 0.0001' : `p = ${p >= 0.995 ? '1' : p.toPrecision(2)}`;
}

function size(value: number, unit: Measure['unit']): string {
  return unit === 'share' ? (100 * value).toFixed(1) : value.toFixed(4);
}
