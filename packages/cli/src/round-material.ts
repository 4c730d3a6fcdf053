import { join } from 'node:path';
import { benchmarkData } from '@flex/eval';
import type { RoundMaterial } from '@flex/study';
import { environment } from './environment.ts';
import { quickstart } from './quickstart.ts';

interface Given {
  /** Absolute; undefined for the bundled model. */
  readonly model: string | undefined;
  /** A folder of data; undefined for the bundled tasks, or with a model for FLEX_DATA or ./data. */
  readonly data: string | undefined;
}

/**
 * What the paper's rounds are made with: the bundled model and tasks, or those given. Throws ConfigError
 * where a folder of data lacks one that is needed.
 */
export function roundMaterial({ model, data }: Given): RoundMaterial {
  const isMicro = model === undefined;
  if (isMicro && data === undefined) return bundled;
  const find = (benchmark: string) => benchmarkData(benchmark, data ?? environment.data);
  const mbpp = find('mbpp');
  const humanEval = find('humaneval');
  return {
    model: model ?? quickstart.model,
    isMicro,
    mbpp: {
      // The bundled model has seen 601-974.
      train: { source: mbpp, split: isMicro ? '11-510' : '601-974' },
      all: { source: mbpp, split: 'all' },
      heldOut: { source: mbpp, split: '511-600' },
      elsewhere: { source: humanEval, split: 'all' },
    },
    java: { source: find('mbxp:java'), split: '511-600' },
    apps: isMicro ? null : competition(join(find('apps'), 'train')),
    benchmarks: isMicro ? null : { humanEval, java: find('multipl-e:java') },
    notes: isMicro ? [microNote] : [],
  };
}

/** APPS's problems of competition level, 361 of those it trains on, a tenth of them held out. */
function competition(source: string): RoundMaterial['apps'] {
  return { train: { source, split: '2000-2324' }, heldOut: { source, split: '2325-2360' } };
}

const microNote =
  'The bundled model of 1.7 million parameters takes the place of Code Llama 7B: the claims are of pass@1, of which ' +
  'it has none, and what is measured are held-out losses. Its learning rates are ten times those of the 7B.';

const [python, java] = quickstart.eval;

/** The bundled model and tasks. */
const bundled: RoundMaterial = {
  model: quickstart.model,
  isMicro: true,
  mbpp: { train: quickstart.data, all: quickstart.data, heldOut: python, elsewhere: python },
  java,
  apps: null,
  benchmarks: null,
  notes: [
    microNote,
    '80 bundled tasks take the place of MBPP, and 16 more those of held-out Python and Java.',
  ],
};
