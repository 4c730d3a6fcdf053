import { openWebGpu, rfft, scope, tensor } from './index.ts';

const b = await openWebGpu();
for (const n of [3, 5, 7, 11, 13, 17, 43, 61]) {
  const t = performance.now();
  const x = tensor(b, new Float32Array(n * 64), [1, n * 64]);
  scope(() => void rfft(x));
  await b.sync();
  console.log(n, (performance.now() - t).toFixed(0), 'ms compile');
}
for (const [c, n] of [
  [4, 43 * 2048],
  [64, 86],
]) {
  const x = tensor(b, new Float32Array(c * n).fill(0.5), [c, n]);
  let best = 1e9;
  for (let i = 0; i < 12; i++) {
    const t = performance.now();
    scope(() => void rfft(x));
    await b.sync();
    best = Math.min(best, performance.now() - t);
  }
  console.log(c, n, best.toFixed(2), 'ms');
}
process.exit(0);
