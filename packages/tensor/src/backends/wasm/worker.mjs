// A thread of the wasm backend (crew.ts): sleeps until there is a job, takes items of it until none are left,
// and learns kernels that it does not know from its port, where they were put before the job.
import { receiveMessageOnPort, workerData } from 'node:worker_threads';

const { control, memory, scratch, words, spins, port } = workerData;
const kernels = [];

function kernelOf(index) {
  while (!kernels[index]) {
    const { message } = receiveMessageOnPort(port);
    const instance = new WebAssembly.Instance(message.module, { kernel: { memory } });
    kernels[message.index] = instance.exports.run;
  }
  return kernels[index];
}

function work() {
  const run = kernelOf(control[words.kernel]);
  const [items, share, args] = [control[words.items], control[words.share], control[words.args]];
  for (;;) {
    const from = Atomics.add(control, words.next, share);
    if (from >= items) return;
    run(from, Math.min(items, from + share), args, scratch);
  }
}

for (;;) {
  const job = Atomics.load(control, words.job);
  Atomics.add(control, words.active, 1);
  try {
    if (Atomics.load(control, words.open) === 1) work();
  } catch (error) {
    port.postMessage(String(error));
    Atomics.store(control, words.failed, 1);
  }
  if (Atomics.sub(control, words.active, 1) === 1) Atomics.notify(control, words.active);
  let turns = 0;
  while (Atomics.load(control, words.job) === job) {
    // The next op follows at once more often than not, and waking a thread takes longer than most of them.
    if (++turns > spins) Atomics.wait(control, words.job, job);
  }
}
