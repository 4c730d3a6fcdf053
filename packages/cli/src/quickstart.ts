import { join } from 'node:path';

const assets = join(import.meta.dirname, '..', 'assets');
const tasks = join(assets, 'quickstart', 'tasks.jsonl');
const javaTasks = join(assets, 'quickstart', 'tasks-java.jsonl');

/**
 * What `flex train` runs when it is told nothing: the bundled model of 1.7 million parameters on 80 bundled Python
 * tasks, 16 more held out in Python and in Java. Small enough for a laptop without a GPU.
 */
export const quickstart = {
  model: join(assets, 'micro'),
  data: { source: tasks, split: '1-80' },
  eval: [
    { source: tasks, split: '81-96' },
    { source: javaTasks, split: '81-96' },
  ],
  optimizer: { name: 'adamw', lr: 2e-3 },
  train: { epochs: 1, evalEvery: 0, saveEvery: 0 },
} as const;
