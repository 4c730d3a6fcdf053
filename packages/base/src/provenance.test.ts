import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DataError } from './errors.ts';
import { openInputFiles } from './input-files.ts';
import {
  beginProvenance,
  finishProvenance,
  type Inputs,
  type Provenance,
  provenanceDigest,
  readProvenance,
  resumeProvenance,
  type Setting,
  sourceOf,
} from './provenance.ts';
import { someInputs, someSetting, source } from './testing/provenance.ts';
import { temporaryFolder } from './testing/temporary-folder.ts';

const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/);
const sources = fc.tuple(fc.stringMatching(/^\/[a-z]{1,8}\/[a-z]{1,8}$/), sha256).map((of) => source(...of));
const word = fc.stringMatching(/^[a-z0-9.]{1,8}$/);
const inputs: fc.Arbitrary<Inputs> = fc.record({
  model: fc.option(sources),
  adapters: fc.array(
    fc.tuple(sources, fc.integer({ min: -4, max: 4 })).map(([of, n]) => ({ ...of, weight: n / 2 })),
    { maxLength: 2 },
  ),
  merged: fc.option(fc.constantFrom('f32', 'f16', 'nf4')),
  dtype: fc.option(fc.constantFrom('auto', 'f32')),
  samples: fc.option(sources),
  data: fc.array(
    fc
      .tuple(sources, fc.constantFrom('training', 'held-out', 'benchmark'))
      .map(([of, use]) => ({ ...of, use })),
    { maxLength: 3 },
  ),
  modules: fc.array(fc.record({ part: word, path: word, bytes: fc.nat(), sha256 }), { maxLength: 2 }),
  options: sha256,
  seeds: fc.dictionary(word, fc.integer(), { maxKeys: 2 }),
});
const setting: fc.Arbitrary<Setting> = fc.record({
  code: fc.record({
    commit: fc.option(fc.record({ hash: sha256.map((of) => of.slice(24)), modified: fc.boolean() })),
    source: sha256,
    versions: fc.dictionary(word, word, { maxKeys: 3 }),
  }),
  command: fc.array(word, { maxLength: 3 }),
  cwd: word,
  device: fc.option(word),
  machine: fc.record({ host: word, os: word, cpu: word, cores: fc.nat(), memory_bytes: fc.nat() }),
});

type Change = (of: { inputs: Inputs; setting: Setting }) => {
  inputs?: Partial<Inputs>;
  setting?: Partial<Setting>;
};

const flip = (digest: string) => (digest.startsWith('0') ? '1' : '0') + digest.slice(1);
const otherBytes = <S extends { path: string; sha256: string }>(of: S): S => ({
  ...of,
  ...source(of.path, flip(of.sha256)),
});
const code = ({ code }: Setting, changed: Partial<Setting['code']>) => ({ code: { ...code, ...changed } });

/** Each changes one thing that decides a result, whatever the others are. */
const deciding: Record<string, Change> = {
  'the bytes of the model': ({ inputs: { model } }) => ({
    inputs: { model: model ? otherBytes(model) : source('/m') },
  }),
  'the bytes of an adapter, or that there is one': ({
    inputs: {
      adapters: [first, ...rest],
    },
  }) => ({
    inputs: { adapters: first ? [otherBytes(first), ...rest] : [{ ...source('/a'), weight: 1 }] },
  }),
  'the weight of an adapter': ({
    inputs: {
      adapters: [first = { ...source('/a'), weight: 1 }, ...rest],
    },
  }) => ({
    inputs: { adapters: [{ ...first, weight: first.weight + 0.25 }, ...rest] },
  }),
  'whether and how it is merged': ({ inputs: { merged } }) => ({ inputs: { merged: merged ? null : 'f32' } }),
  'the dtype': ({ inputs: { dtype } }) => ({ inputs: { dtype: dtype === 'f32' ? 'f16' : 'f32' } }),
  'the bytes of the samples': ({ inputs: { samples } }) => ({
    inputs: { samples: samples ? otherBytes(samples) : source('/s') },
  }),
  'the bytes of the data': ({
    inputs: {
      data: [first, ...rest],
    },
  }) => ({
    inputs: { data: first ? [otherBytes(first), ...rest] : [{ ...source('/d'), use: 'training' }] },
  }),
  'what data are for': ({
    inputs: {
      data: [first = { ...source('/d'), use: 'training' }, ...rest],
    },
  }) => ({
    inputs: { data: [{ ...first, use: first.use === 'training' ? 'held-out' : 'training' }, ...rest] },
  }),
  'the bytes of a module': ({
    inputs: {
      modules: [first, ...rest],
    },
  }) => ({
    inputs: {
      modules: first
        ? [{ ...first, sha256: flip(first.sha256) }, ...rest]
        : [{ part: 'p', path: '/p', bytes: 1, sha256: '0'.repeat(64) }],
    },
  }),
  'an option': ({ inputs: { options } }) => ({ inputs: { options: flip(options) } }),
  'a seed': ({ inputs: { seeds } }) => ({ inputs: { seeds: { ...seeds, s: (seeds.s ?? 0) + 1 } } }),
  'the commit': ({ setting }) => ({
    setting: code(setting, {
      commit: setting.code.commit ? null : { hash: '0'.repeat(40), modified: false },
    }),
  }),
  'whether it is modified': ({ setting }) => {
    const { hash, modified } = setting.code.commit ?? { hash: '0'.repeat(40), modified: false };
    return { setting: code(setting, { commit: { hash, modified: !modified } }) };
  },
  'the source': ({ setting }) => ({ setting: code(setting, { source: flip(setting.code.source) }) }),
  'a version': ({ setting }) => {
    const { versions } = setting.code;
    return { setting: code(setting, { versions: { ...versions, flex: `${versions.flex ?? ''}1` } }) };
  },
};

const moved = <S extends { path: string; files: readonly { path: string; bytes: number; sha256: string }[] }>(
  of: S,
): S => ({
  ...of,
  path: `/moved${of.path}`,
  files: of.files.map((file) => ({ ...file, path: `/moved${file.path}` })),
});

/** Each changes things that decide nothing. */
const telling: Record<string, Change> = {
  paths: ({ inputs: { model, adapters, samples, data, modules } }) => ({
    inputs: {
      model: model && moved(model),
      adapters: adapters.map(moved),
      samples: samples && moved(samples),
      data: data.map(moved),
      modules: modules.map((module) => ({ ...module, path: `/moved/${module.path}` })),
    },
  }),
  'the command and its folder': () => ({ setting: { command: ['flex', 'else'], cwd: '/elsewhere' } }),
  'the device and the machine': ({ setting: { machine } }) => ({
    setting: { device: 'another', machine: { ...machine, host: 'there', cores: machine.cores + 1 } },
  }),
};

const changedBy = (of: { inputs: Inputs; setting: Setting }, change: Change) => {
  const { inputs, setting } = change(of);
  return { inputs: { ...of.inputs, ...inputs }, setting: { ...of.setting, ...setting } };
};
const begin = (of: { inputs: Inputs; setting: Setting }) => beginProvenance(of.inputs, of.setting);
const anyRecord = fc.record({ inputs, setting });
const reread = (provenance: Provenance) =>
  readProvenance(JSON.parse(JSON.stringify(provenance)), 'results.json');

describe('the digest changes with', () => {
  test.each(Object.entries(deciding))('%s, at the start and in what goes on', (_, change) => {
    fc.assert(
      fc.property(anyRecord, (of) => {
        const [before, other] = [begin(of), changedBy(of, change)];
        expect(begin(other).digest).not.toBe(before.digest);
        expect(resumeProvenance(before, other).digest).not.toBe(before.digest);
        expect(resumeProvenance(before, other).digest).not.toBe(begin(other).digest);
      }),
      { numRuns: 30 },
    );
  });
});

describe('the digest does not change with', () => {
  test.each(Object.entries(telling))('%s', (_, change) => {
    fc.assert(
      fc.property(anyRecord, (of) => {
        const [before, other] = [begin(of), changedBy(of, change)];
        expect(begin(other).digest).toBe(before.digest);
        const later = resumeProvenance(before, { ...other, after: 3 });
        expect(later.digest).toBe(before.digest);
        expect(later).not.toEqual(before);
      }),
      { numRuns: 30 },
    );
  });
  test('times, and whether it was resumed', () => {
    fc.assert(
      fc.property(
        anyRecord,
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }),
        (of, date) => {
          const before = begin(of);
          expect(finishProvenance(before).digest).toBe(before.digest);
          expect(provenanceDigest({ ...before, started: date.toISOString() })).toBe(before.digest);
          expect(resumeProvenance(before, of).digest).toBe(before.digest);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('what goes on', () => {
  test('is told as it is now, with what was otherwise until then', () => {
    const before = begin({ inputs: someInputs, setting: someSetting });
    const setting = { ...someSetting, device: 'another', command: ['flex', 'eval', '--again'] };
    const inputs = { ...someInputs, model: source('/elsewhere/tiny') };
    const later = resumeProvenance(before, { inputs, setting, after: 7 });
    expect(later).toMatchObject({ ...inputs, ...setting, started: before.started, finished: null });
    expect(later.resumed).toEqual([
      { at: expect.any(String), after: 7, until: { command: ['flex', 'eval'], device: 'a device' } },
    ]);
  });
});

describe('of files', () => {
  /** The source of a folder of these files. */
  function folderOf(files: Record<string, string>, folder = temporaryFolder()) {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    return sourceOf(folder, openInputFiles().digest(folder));
  }

  test('the digest is of names within and bytes, not of where they lie', () => {
    const files = { 'config.json': '{}', 'sub/model.safetensors': 'weights' };
    const before = folderOf(files);
    const copy = join(temporaryFolder(), 'copy');
    cpSync(before.path, copy, { recursive: true });
    expect(sourceOf(copy, openInputFiles().digest(copy)).sha256).toBe(before.sha256);
    const others: Record<string, string>[] = [
      { ...files, 'config.json': '{ }' },
      { ...files, 'sub/model.safetensors': 'weight5' },
      { ...files, 'more.json': '' },
      { 'config.json': '{}', 'model.safetensors': 'weights' },
      { 'config.json': 'weights', 'sub/model.safetensors': '{}' },
    ];
    for (const other of others) expect(folderOf(other).sha256).not.toBe(before.sha256);
  });

  test('that of a file is its own, whatever its name', () => {
    const { files } = folderOf({ 'a.jsonl': 'abc', 'b.jsonl': 'abc' });
    const [a, b] = files.map((file) => sourceOf(file.path, [file]));
    expect(a.sha256).toBe(files[0].sha256);
    expect(b.sha256).toBe(a.sha256);
  });

  test('a folder of many is listed as one, and the record is read again', () => {
    const many = folderOf(Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`${i}.txt`, `${i}`])));
    expect(many.files).toEqual([{ path: many.path, bytes: 120, sha256: many.sha256 }]);
    const provenance = beginProvenance({ ...someInputs, samples: many }, someSetting);
    expect(reread(provenance)).toEqual(provenance);
  });
});

describe('a record', () => {
  test('is read as it was written, its keys in one order', () => {
    fc.assert(
      fc.property(anyRecord, anyRecord, (of, other) => {
        const provenance = finishProvenance(resumeProvenance(begin(of), { ...other, after: 2 }));
        expect(reread(provenance)).toEqual(provenance);
        expect(Object.keys(provenance)).toEqual(Object.keys(reread(begin(other))));
      }),
      { numRuns: 50 },
    );
  });

  const good = finishProvenance(begin({ inputs: someInputs, setting: someSetting }));
  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'provenance: '],
    ['a key missing', { ...good, command: undefined }, 'provenance.command: '],
    ['a digest that is none', { ...good, digest: 'abc' }, 'provenance.digest: needs 64 hexadecimal digits'],
    ['a time that is none', { ...good, started: 'yesterday' }, 'provenance.started: '],
    ['another model', { ...good, model: source('/m', '0'.repeat(64)) }, 'provenance.digest: does not fit'],
    ['other code', { ...good, code: { ...good.code, commit: null } }, 'provenance.digest: does not fit'],
    [
      'a file of the model changed',
      { ...good, model: { ...good.model, files: source('/models/tiny', '0'.repeat(64)).files } },
      'provenance.model.sha256: does not fit the digests of its files',
    ],
  ])('with %s is refused in one line that says where', (_, value, message) => {
    expect(() => readProvenance(value, 'results.json')).toThrow(DataError);
    expect(() => readProvenance(value, 'results.json')).toThrow(`results.json: ${message}`);
  });
});
