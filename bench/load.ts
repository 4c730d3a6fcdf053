// Loading a model, against reading its files and copying as much to the device, one after the other.
// tsx load.ts --model DIR [--dtype f16|f32] and the options of harness.ts; fabricate.ts makes a directory
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadModel, openCheckpoint, readConfig, weightShapes } from '@flex/llama';
import { type DType, empty, size } from '@flex/tensor';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';

const options = benchOptions({ model: '', dtype: 'f16' });
const { model: dir } = options;
const dtype = options.dtype as 'f16' | 'f32';
const backend = await openDevice(options);
const files = readdirSync(dir).filter((name) => name.endsWith('.safetensors'));
const checkpoint = openCheckpoint(dir);
const read = checkpoint.names().reduce((sum, name) => sum + checkpoint.spec(name).bytes, 0);
checkpoint.close();
const scratch = new Uint8Array(2 ** 20);

function readFiles(): void {
  for (const name of files) {
    const file = openSync(join(dir, name), 'r');
    while (readSync(file, scratch) > 0);
    closeSync(file);
  }
}

/** Fills tensors of the model's shapes with whatever is in the scratch. */
async function copy(): Promise<void> {
  for (const shape of weightShapes(readConfig(dir)).values()) {
    const type: DType = shape.length > 1 ? dtype : 'f32';
    const t = empty(backend, { shape, dtype: type });
    const numbers = type === 'f16' ? new Uint16Array(scratch.buffer) : new Float32Array(scratch.buffer);
    for (let start = 0; start < size(shape); start += numbers.length) {
      backend.write(t.buffer, t, numbers.subarray(0, size(shape) - start), start);
    }
    await backend.sync();
    t.dispose();
  }
}

/** Bytes of the process: now, or the most since `resetMost`. Linux alone. */
const resident = (key: 'VmRSS' | 'VmHWM') =>
  1024 * Number(/\d+/.exec(readFileSync('/proc/self/status', 'utf8').split(`${key}:`)[1])![0]);
const resetMost = () => writeFileSync('/proc/self/clear_refs', '5');

/** The most bytes of the process during a load beyond those before it and those of its tensors, in MiB. */
const beyond: number[] = [];

async function load(): Promise<void> {
  const before = resident('VmRSS') - backend.stats.reservedBytes;
  resetMost();
  const model = await loadModel(backend, dir, { dtype });
  beyond.push(Math.round((resident('VmHWM') - before - backend.stats.reservedBytes) / 2 ** 20));
  model.dispose();
}

const times = (f: () => void | Promise<void>) => async (count: number) => {
  for (let i = 0; i < count; i++) await f();
};
const work = () => ({ gb: read / 1e9 });
const limit = 'limit: read, then copy';
const loading: Case = {
  name: 'load',
  facts: { model: dir, dtype },
  limit,
  run: times(load),
  work,
  report: () => ({ host_mib: Math.max(...beyond) }),
};
const readThenCopy: Case = {
  name: limit,
  facts: { model: dir, dtype },
  run: times(async () => {
    readFiles();
    await copy();
  }),
  work,
};
await bench(options, {
  name: 'load',
  what: `FLeX, ${backend.description}`,
  cases: [loading],
  limits: [readThenCopy],
  warmUps: 1,
  rounds: 5,
});
await backend.close();
