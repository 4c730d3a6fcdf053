import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginProvenance, digestJson, openInputFiles } from '@flex/base';
import { someSetting, temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { type SampleOptions, sampleSource } from './sample-source.ts';

const files = {
  'model/config.json': '{}',
  'model/model.safetensors': 'weights',
  'one/adapter_model.safetensors': 'one',
  'two/adapter_model.safetensors': 'two',
  'samples.jsonl': '{"task_id": "a", "completion": "b"}\n',
};

function folderWith(given: Record<string, string> = {}): string {
  const folder = temporaryFolder();
  for (const [name, text] of Object.entries({ ...files, ...given })) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

type Choose = (folder: string) => Omit<SampleOptions, 'device'>;

/** The digest of the provenance of an evaluation of these samples. */
function digestOf(folder: string, choose: Choose): string {
  const { inputs, identity, decoding, truncation } = sampleSource(
    { device: 'cpu', ...choose(folder) },
    openInputFiles(),
  );
  const options = digestJson({ identity, decoding, truncation });
  return beginProvenance({ ...inputs, data: [], modules: [], options }, someSetting).digest;
}

const ofModel: Choose = (folder) => ({
  model: join(folder, 'model'),
  adapter: [
    { dir: join(folder, 'one'), weight: 1 },
    { dir: join(folder, 'two'), weight: 0.5 },
  ],
});
const merged =
  (as: SampleOptions['merged']): Choose =>
  (folder) => ({
    model: join(folder, 'model'),
    adapter: [{ dir: join(folder, 'one'), weight: 1 }],
    merged: as,
  });
const ofFile: Choose = (folder) => ({ samples: join(folder, 'samples.jsonl') });

test('each input of an evaluation has part in its digest, wherever it lies', () => {
  const folder = folderWith();
  const elsewhere = join(temporaryFolder(), 'elsewhere');
  cpSync(folder, elsewhere, { recursive: true });
  const distinct = [
    digestOf(folder, ofModel),
    ...Object.keys(files)
      .slice(0, 4)
      .map((name) => digestOf(folderWith({ [name]: 'other' }), ofModel)),
    digestOf(folder, (of) => ({ ...ofModel(of), adapter: ofModel(of).adapter?.slice(0, 1) })),
    digestOf(folder, (of) => ({ ...ofModel(of), adapter: ofModel(of).adapter?.toReversed() })),
    ...[
      { dtype: 'f16' },
      { seed: 1 },
      { temperature: 0.5 },
      { maxNewTokens: 5 },
      { truncate: 'none' as const },
    ].map((option) => digestOf(folder, (of) => ({ ...ofModel(of), ...option }))),
    ...([true, 'f16', 'nf4'] as const).map((as) => digestOf(folder, merged(as))),
    digestOf(folder, ofFile),
    digestOf(folderWith({ 'samples.jsonl': '{"task_id": "a", "completion": "c"}\n' }), ofFile),
  ];
  expect(new Set(distinct).size).toBe(distinct.length);
  for (const choose of [ofModel, ofFile, merged(true)])
    expect(digestOf(elsewhere, choose)).toBe(digestOf(folder, choose));
});

test('a file of samples that changes before it is read is told', async () => {
  const path = join(folderWith(), 'samples.jsonl');
  const opened = openInputFiles();
  sampleSource({ device: 'cpu', samples: path }, opened);
  writeFileSync(path, '');
  expect(() => opened.requireUnchanged()).toThrow('samples.jsonl: was changed while it was read');
});
