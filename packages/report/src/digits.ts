import type { Estimate } from '@flex/study';

/** Of the measure: a share is shown in per cent, all else as it is. */
export type Unit = 'nats' | 'share';

/**
 * An estimate with its interval, as many decimals as its half width has two digits for:
 * `1.812 [1.799, 1.825]`, `34.1 % [27.4, 41.7]`.
 */
export function estimateText({ value, ci95 }: Estimate, unit: Unit): string {
  const scale = unit === 'share' ? 100 : 1;
  const percent = unit === 'share' ? ' %' : '';
  if (ci95 === null) return `${plain(scale * value, unit === 'share' ? 1 : 4)}${percent}`;
  const [low, high] = ci95.map((end) => scale * end);
  const decimals = decimalsFor((high - low) / 2, unit);
  return `${plain(scale * value, decimals)}${percent} [${plain(low, decimals)}, ${plain(high, decimals)}]`;
}

/** The same of a difference, with its sign; of shares in points. */
export function differenceText({ value, ci95 }: Estimate, unit: Unit): string {
  const scale = unit === 'share' ? 100 : 1;
  const points = unit === 'share' ? ' points' : '';
  if (ci95 === null) return `${signed(scale * value, unit === 'share' ? 1 : 4)}${points}`;
  const [low, high] = ci95.map((end) => scale * end);
  const decimals = decimalsFor((high - low) / 2, unit);
  return `${signed(scale * value, decimals)}${points} [${signed(low, decimals)}, ${signed(high, decimals)}]`;
}

/** `p < 0.0001` is all that is known of a smaller one. */
export function probabilityText(p: number | null): string {
  if (p === null) return '–';
  if (p < 1e-4) return '< 0.0001';
  return p < 0.1 ? p.toFixed(4) : p.toFixed(2);
}

/** A number with so many significant digits, without an exponent where it is readable so. */
export function significant(value: number, digits = 4): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return minus(value.toExponential(digits - 1));
  return minus(String(Number(value.toPrecision(digits))));
}

function decimalsFor(halfWidth: number, unit: Unit): number {
  if (!(halfWidth > 0)) return unit === 'share' ? 1 : 4;
  const decimals = 1 - Math.floor(Math.log10(halfWidth));
  return Math.min(unit === 'share' ? 1 : 6, Math.max(0, decimals));
}

const plain = (value: number, decimals: number) => minus(value.toFixed(decimals));

/** With `+` or `−`; what is 0 in the digits shown has neither. */
function signed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  if (Number(text) === 0) return text.replace('-', '');
  return value > 0 ? `+${text}` : minus(text);
}

const minus = (text: string) => text.replace('-', '−');
