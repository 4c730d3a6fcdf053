import {
  beginProvenance,
  finishProvenance,
  type Inputs,
  type Provenance,
  type Setting,
  type Source,
  sourceOf,
} from '../provenance.ts';

const digit = (of: string) => of.repeat(64);

/** A source of one file. */
export function source(path: string, sha256 = digit('a')): Source {
  return sourceOf(path, [{ path, bytes: 7, sha256 }]);
}

/** Inputs of an evaluation, for tests of records. */
export const someInputs: Inputs = {
  model: source('/models/tiny'),
  adapters: [],
  merged: null,
  dtype: 'auto',
  samples: null,
  data: [{ use: 'benchmark', ...source('/data/HumanEval.jsonl', digit('b')) }],
  modules: [],
  options: digit('c'),
  seeds: { seed: 0 },
};

/** A setting, for tests of records. */
export const someSetting: Setting = {
  code: {
    commit: { hash: '0123456789'.repeat(4), modified: false },
    source: digit('d'),
    versions: { node: '20.20.0', flex: '0.1.0' },
  },
  command: ['flex', 'eval'],
  cwd: '/home/someone',
  device: 'a device',
  machine: { host: 'here', os: 'Linux', cpu: 'a CPU', cores: 2, memory_bytes: 2 ** 30 },
};

/** That of an evaluation that is done, for tests of records. */
export const someProvenance: Provenance = finishProvenance(beginProvenance(someInputs, someSetting));
