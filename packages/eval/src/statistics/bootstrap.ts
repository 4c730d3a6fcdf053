import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

const resamples = 10_000;
/** How many of the resampled means lie outside the interval at either end: 2.5 %. */
const beyond = resamples / 40;
const seed = 20_250_607;

/**
 * The 95 % percentile bootstrap interval of the mean of `values`: 10,000 times as many values are drawn from
 * them with replacement, and the interval leaves out the 250 smallest and the 250 largest means. With a
 * problem's mean as value this is the cluster bootstrap over problems; with a problem's difference between
 * two systems as value, the paired bootstrap. The seed is fixed and the order of the values does not matter,
 * so that equal values give equal bits. Throws RangeError without values. Efron and Tibshirani 1993, chapter
 * 13.
 */
export function bootstrapMean(values: readonly number[]): [low: number, high: number] {
  if (values.length === 0) throw new RangeError('bootstrap: there are no values');
  const from = Float64Array.from(values).sort();
  const random = xoroshiro128plus(seed);
  const last = from.length - 1;
  const means = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    let sum = 0;
    for (let drawn = 0; drawn <= last; drawn++) sum += from[uniformInt(random, 0, last)];
    means[i] = sum / from.length;
  }
  means.sort();
  return [means[beyond], means[resamples - 1 - beyond]];
}
