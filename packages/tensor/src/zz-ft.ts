import { openWebGpu, openGpuJs, rfft, scope, tensor } from './index.ts';
for (const b of [await openWebGpu(), openGpuJs()])
for (const r of [59, 61, 113]) {
  const n = 2 * r * 256, c = 16;
  const x = tensor(b, new Float32Array(c * n).fill(0.5), [c, n]);
  scope(() => void rfft(x)); await b.sync();
  let best = 1e9; for (let i = 0; i < 8; i++) { const t = performance.now(); scope(() => void rfft(x)); await b.sync(); best = Math.min(best, performance.now() - t); }
  console.log(b.name, r, best.toFixed(2), 'ms', (best / c / n * 1e6).toFixed(1), 'ns/point');
}
process.exit(0);
