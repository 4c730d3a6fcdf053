import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { DeviceError } from '../../errors.ts';
import type { Run, WasmMemory, WasmModule } from '../../wasm/engine.ts';

/** Places in the control words that the threads share. */
const words = {
  /** Counts the jobs: what sleeping threads wait on. */
  job: 0,
  /** 1 while items of the job may be taken. */
  open: 1,
  /** Threads that are looking at the job. */
  active: 2,
  /** The next item that nobody has. */
  next: 3,
  items: 4,
  /** Items that a thread takes at a time. */
  share: 5,
  kernel: 6,
  args: 7,
  failed: 8,
} as const;

/** Looks at a word before a thread sleeps: some 50 µs. */
const spins = 20_000;

export interface Job {
  /** The number of the kernel, and its module for threads that have not seen it. */
  readonly kernel: number;
  readonly module: WasmModule;
  readonly run: Run;
  readonly items: number;
  readonly share: number;
  /** Where its addresses and numbers are. */
  readonly args: number;
}

/**
 * Threads that share the items of one job after the other. The calling thread works with them and returns
 * when all is done; the others start with the first job, and none of them keeps the process alive.
 */
export class Crew {
  readonly #control = new Int32Array(new SharedArrayBuffer(64));
  readonly #memory: WasmMemory;
  /** Of each thread, the calling one first. */
  readonly #scratch: readonly number[];
  readonly #known = new Set<number>();
  #helpers: { readonly worker: Worker; readonly port: MessagePort }[] = [];

  constructor(memory: WasmMemory, scratch: readonly number[]) {
    this.#memory = memory;
    this.#scratch = scratch;
  }

  /** Runs a job on all threads. Throws DeviceError when one fails, which only a wrong kernel makes it do. */
  run({ kernel, module, run, items, share, args }: Job): void {
    const control = this.#control;
    if (this.#helpers.length === 0) this.#start();
    if (!this.#known.has(kernel)) {
      for (const { port } of this.#helpers) port.postMessage({ index: kernel, module });
      this.#known.add(kernel);
    }
    control[words.items] = items;
    control[words.share] = share;
    control[words.kernel] = kernel;
    control[words.args] = args;
    Atomics.store(control, words.next, 0);
    Atomics.store(control, words.open, 1);
    Atomics.add(control, words.job, 1);
    Atomics.notify(control, words.job);
    const complaints: string[] = [];
    try {
      for (;;) {
        const from = Atomics.add(control, words.next, share);
        if (from >= items) break;
        run(from, Math.min(items, from + share), args, this.#scratch[0]);
      }
    } catch (error) {
      complaints.push(String(error));
    }
    this.#close();
    if (Atomics.exchange(control, words.failed, 0) === 1) complaints.push(...this.#complaints());
    if (complaints.length > 0) throw new DeviceError(`wasm: a thread failed: ${complaints.join('; ')}`);
  }

  /** Lets no thread begin any more, and waits for those at work. */
  #close(): void {
    const control = this.#control;
    Atomics.store(control, words.open, 0);
    for (let turns = 0; ; turns++) {
      const active = Atomics.load(control, words.active);
      if (active === 0) return;
      if (turns > spins) Atomics.wait(control, words.active, active, 10);
    }
  }

  #start(): void {
    const source = new URL('./worker.mjs', import.meta.url);
    this.#helpers = this.#scratch.slice(1).map((scratch) => {
      const { port1: port, port2 } = new MessageChannel();
      const shared = { control: this.#control, memory: this.#memory, scratch, words, spins };
      const workerData = { ...shared, port: port2 };
      // It holds a few functions and no data: the smallest heap will do, without what NODE_OPTIONS loads.
      const resourceLimits = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 };
      const bare = { execArgv: [], env: {}, resourceLimits };
      const worker = new Worker(source, { workerData, transferList: [port2], ...bare });
      worker.unref();
      port.unref();
      return { worker, port };
    });
  }

  /** What the threads said that failed. */
  #complaints(): readonly string[] {
    return this.#helpers.flatMap(({ port }) => receiveMessageOnPort(port)?.message ?? []);
  }

  /** Ends the threads. */
  async end(): Promise<void> {
    await Promise.all(this.#helpers.map(({ worker }) => worker.terminate()));
    this.#helpers = [];
  }
}
