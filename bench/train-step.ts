// One LoRA update of the bundled model, batch 4 × 128, against PyTorch + PEFT; and a process of its own up to
// its first update. tsx train-step.ts and the options of harness.ts, and
//   --before DIR   a checkout of commit fdbccb9 with its packages installed, whose gpu.js runs beside:
//                  git worktree add ../before fdbccb9 && pnpm --dir ../before install --frozen-lockfile
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { dctPenalty, fourier, l2, matchedL2, type Regularizer } from '@flex/peft';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case, type Facts } from './harness.ts';
import { batch, freshAdapters, lambda, loraUpdates, micro, microOn, tokens } from './lora-update.ts';

const options = benchOptions({ before: '' });
const backend = await openDevice(options);
const model = await microOn(backend);
const work = () => ({ tokens_per_second: batch * tokens });

function training(name: string, regularizer?: Regularizer): Case {
  const updateOnce = loraUpdates(model, name, regularizer);
  let peak = 0;
  return {
    name,
    facts: { lambda: regularizer ? lambda : 0 },
    async run(count) {
      for (let i = 0; i < count; i++) {
        backend.resetPeak();
        await updateOnce();
        peak = Math.max(peak, backend.stats.peakBytes);
      }
    },
    work,
    report: () => ({ peak_bytes: peak }),
  };
}

/** Seconds are those of the whole process, with what it takes to start TypeScript. */
function firstUpdate(): Case {
  const runs: Facts[] = [];
  const { device, threads } = options;
  const args = ['--import', 'tsx', 'first-update.ts', `--device=${device}`, `--threads=${threads}`];
  return {
    name: 'first update of a process',
    facts: { lambda: null },
    async run() {
      const child = spawn(process.execPath, args, {
        ...{ cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
      });
      const [said] = await Promise.all([text(child.stdout!), once(child, 'close')]);
      runs.push(JSON.parse(said));
    },
    report: () =>
      runs.toSorted((x, y) => Number(x.import_to_loss_seconds) - Number(y.import_to_loss_seconds))[
        runs.length >> 1
      ],
  };
}

// gpu.js would take half a minute a round for these, which show nothing of it that λ does not.
const others: readonly Case[] =
  options.device === 'gpujs'
    ? []
    : [
        training('l2', l2()),
        training('dct', dctPenalty()),
        training('matched-l2', await matchedL2({}, freshAdapters(model))),
        training('matched-l2 kept', await matchedL2({ match: 'gradient', factor: 'kept' })),
        firstUpdate(),
      ];
const sizes = [String(batch), String(tokens)];

await bench(options, {
  name: `train-step-${options.device}`,
  what: `FLeX, ${backend.description}`,
  facts: () => ({ batch, tokens }),
  cases: [training('λ=0'), training(`λ=${lambda}`, fourier()), ...others],
  warmUps: 2,
  rounds: 7,
  peers: [
    ['train_step.py', micro, ...sizes],
    ...(options.before ? [['fdbccb9.mjs', resolve(options.before), ...sizes]] : []),
  ],
});
await backend.close();
