import { printable } from '@flex/base';
import type { Estimate, MeasuredClaim } from '@flex/study';
import { newTable } from './table.ts';

/** What was claimed, and beside it what was measured; null where nothing was. */
export function claimTable(claims: readonly MeasuredClaim[]): string | null {
  if (claims.length === 0) return null;
  const table = newTable({ head: ['claimed', 'by', 'as', 'measured here'] });
  for (const claim of claims) {
    table.push([claim.text, claim.source, claim.figure, measuredOf(claim)].map(printable));
  }
  return table.toString();
}

function measuredOf({ measure, unit, arm, against, mean, other, difference }: MeasuredClaim): string {
  if (unit === null || mean === null) return `${measure}: not yet`;
  const figure = (value: number) => (unit === 'nats' ? value.toFixed(4) : (100 * value).toFixed(2));
  const signed = (value: number) => `${value < 0 ? '-' : '+'}${figure(Math.abs(value))}`;
  const interval = ({ ci95 }: Estimate, of: (value: number) => string) =>
    ci95 ? `${of(ci95[0])} to ${of(ci95[1])}` : 'no interval of one seed';
  const words = [`${measure}: ${arm} ${figure(mean.value)}${unit === 'nats' ? ' nats' : ' %'}`];
  if (against !== undefined && other !== null) words.push(`${against} ${figure(other)}`);
  if (difference) words.push(`difference ${signed(difference.value)} (${interval(difference, signed)})`);
  else words.push(`(${interval(mean, figure)})`);
  return words.join(', ');
}
