// TensorFlow.js on WebAssembly: tfjs.mjs [threads]. Its package uses no threads where it sees Node
// (tensorflow/tfjs#3830): left alone it runs its SIMD variant on one; with `threads` it is given workers and runs
// its threaded SIMD variant.
import { createRequire, syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { dirname } from 'node:path';
import { getThreadsCount, setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { randoms, servePeer } from './peer.mjs';
import { blobsAreFiles } from './workers.mjs';

const threads = os.availableParallelism();
setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);
const threaded = process.argv[2] === 'threads';
if (threaded) {
  // Names that its bundle for Node has around a worker's text; and of the processors it takes half at most.
  const names = { require$$0: 'fs', require$$1: 'path', require$$3: 'perf_hooks', require$$4: 'os' };
  const required = Object.entries(names).map(
    ([name, module]) => `globalThis.${name} = require('${module}');`,
  );
  blobsAreFiles(`globalThis.commonjsGlobal = globalThis;\n${required.join('\n')}`);
  const processors = os.cpus();
  os.cpus = () => [...processors, ...processors, ...processors, ...processors];
  syncBuiltinESMExports();
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', true);
  setThreadsCount(threads);
}
await tf.setBackend('wasm');

const given = (shape) => tf.tensor(randoms(shape), shape);

const ofOne =
  (f) =>
  ({ shape }) => {
    const x = given(shape);
    return () => f(x);
  };

/** Of facts, what a case computes once. */
const computations = {
  matmul({ a, b, transposeA, transposeB, type }) {
    // Threads know transposed operands no more than its fast kernel does.
    if (type !== 'f32' || (threaded && (transposeA || transposeB))) return null;
    const [x, y] = [given(a), given(b)];
    return () => tf.matMul(x, y, transposeA, transposeB);
  },
  scale: ofOne((x) => tf.mul(x, 2)),
  exp: ofOne(tf.exp),
  silu: ofOne((x) => tf.mul(x, tf.sigmoid(x))),
  permute: ofOne((x) => tf.transpose(x, [1, 0])),
  softmax: ofOne((x) => tf.softmax(x)),
  add({ shape }) {
    const [x, y] = [given(shape), given(shape)];
    return () => tf.add(x, y);
  },
  mulAdd({ shape }) {
    const [x, y, z] = [given(shape), given(shape), given(shape)];
    return () => tf.add(tf.mul(x, y), z);
  },
  rmsNorm({ shape }) {
    const [x, weight] = [given(shape), given(shape.slice(-1))];
    return () => {
      const meanSquare = tf.mean(tf.mul(x, x), -1, true);
      return tf.mul(tf.mul(x, tf.rsqrt(tf.add(meanSquare, 1e-5))), weight);
    };
  },
  adamw({ shapes }) {
    const all = shapes.map((shape) => [given(shape), given(shape), given(shape), tf.abs(given(shape))]);
    return () => {
      for (const [p, g, m, v] of all) {
        const mean = tf.add(tf.mul(m, 0.9), tf.mul(g, 0.1));
        const meanSquare = tf.add(tf.mul(v, 0.999), tf.mul(tf.mul(g, g), 0.001));
        const step = tf.div(tf.mul(mean, 2e-4), tf.add(tf.sqrt(meanSquare), 1e-8));
        tf.sub(tf.mul(p, 0.999998), step);
      }
    };
  },
};

await servePeer(`tfjs ${tf.version_core} wasm, SIMD, threads: ${getThreadsCount()}`, (facts) => {
  const compute = computations[facts.op]?.(facts);
  if (!compute) return null;
  return async (count) => {
    for (let i = 0; i < count; i++) tf.tidy(() => void compute());
  };
});
