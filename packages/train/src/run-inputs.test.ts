import { cpSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beginProvenance, openInputFiles, type Provenance } from '@flex/base';
import { someSetting, temporaryFolder } from '@flex/base/testing';
import { beforeEach, expect, test } from 'vitest';
import { loadConfig } from './config.ts';
import { runInputs } from './run-inputs.ts';
import { partModule } from './testing/part-module.ts';

const files = {
  'model/config.json': '{}',
  'model/model.safetensors': 'weights',
  'adapter/adapter_model.safetensors': 'adapter',
  'data.jsonl': '{"text": "a"}\n',
  'held.jsonl': '{"text": "b"}\n',
};
const callback = `{ name: 'mine', schema: z.strictObject({ every: z.int().default(1) }), make: () => ({}) }`;

/** A folder with all that a run reads, some files as given. */
function folderWith(given: Record<string, string> = {}): string {
  const folder = temporaryFolder();
  for (const [name, text] of Object.entries({ ...files, ...given })) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** The provenance of a run of what is in a folder. */
async function provenanceOf(folder: string, ...overrides: string[]): Promise<Provenance> {
  const config = await loadConfig({
    overrides: [
      ...[`model=${folder}/model`, `adapter=${folder}/adapter`, `data.source=${folder}/data.jsonl`],
      ...[
        `eval=[{source: ${folder}/held.jsonl}]`,
        `callbacks=[{use: ${partModule(callback)}}]`,
        `out=${folder}/out`,
      ],
      ...overrides,
    ],
  });
  return beginProvenance((await runInputs(config, openInputFiles())).inputs, someSetting);
}

let first: Provenance;
beforeEach(async () => {
  first = await provenanceOf(folderWith());
});

test('a run names its model, its adapter, its data and its modules, with their digests', async () => {
  const folder = folderWith();
  expect(await provenanceOf(folder)).toMatchObject({
    model: { path: join(folder, 'model'), files: [{ bytes: 2 }, { bytes: 7 }] },
    adapters: [{ path: join(folder, 'adapter'), weight: 1 }],
    merged: null,
    samples: null,
    data: [
      { use: 'training', path: join(folder, 'data.jsonl') },
      { use: 'held-out', path: join(folder, 'held.jsonl') },
    ],
    modules: [{ part: 'mine' }],
    seeds: { 'train.seed': 0 },
  });
});

test.each(Object.keys(files))('other bytes in %s are another digest', async (name) => {
  expect((await provenanceOf(folderWith({ [name]: '{"text": "c"}' }))).digest).not.toBe(first.digest);
});

test.each([
  'optimizer.lr=1',
  'train.epochs=7',
  'train.max_steps=3',
  'train.seed=1',
  'train.eval_every=3',
  'data.max_length=8',
  'eval.0.split=1-4',
  'regularizer=none',
  'dtype=f32',
  'callbacks.0.every=2',
  'callbacks=[]',
  'eval=[]',
])('%s is another digest', async (override) => {
  expect((await provenanceOf(folderWith(), override)).digest).not.toBe(first.digest);
});

test('a module with other bytes is another digest, one that lies elsewhere is not', async () => {
  const [same, other] = [partModule(callback), partModule(`${callback} /* */`)];
  const digestWith = async (use: string) =>
    (await provenanceOf(folderWith(), `callbacks=[{use: ${use}}]`)).digest;
  expect(await digestWith(same)).toBe(first.digest);
  expect(await digestWith(other)).not.toBe(first.digest);
});

test('a file that a callback reads decides by its bytes, and one that it writes not at all', async () => {
  const path = (kind: string) => `z.string().meta({ path: '${kind}' })`;
  const schema = `z.strictObject({ reads: ${path('file')}, writes: ${path('output')} })`;
  const module = partModule(
    `{ name: 'logs', schema, make: () => ({}) }`.replace('schema', `schema: ${schema}`),
  );
  const digestWith = async (text: string) => {
    const folder = folderWith({ words: text });
    const options = `reads: ${folder}/words, writes: ${folder}/log.csv`;
    return (await provenanceOf(folder, `callbacks=[{use: ${module}, ${options}}]`)).digest;
  };
  expect(await digestWith('a')).toBe(await digestWith('a'));
  expect(await digestWith('a')).not.toBe(await digestWith('b'));
});

test('where things lie, when they were written and what only looks on do not change it', async () => {
  const elsewhere = join(temporaryFolder(), 'elsewhere');
  cpSync(folderWith(), elsewhere, { recursive: true });
  for (const name of Object.keys(files)) utimesSync(join(elsewhere, name), 1, 1);
  writeFileSync(join(elsewhere, 'model', 'merge.json'), '{"finished": "today"}');
  writeFileSync(join(elsewhere, 'model', 'README.md'), 'words');
  const looks = ['save_every=1', 'spectrum_every=1', 'checkpoint_activations=true'];
  const moved = await provenanceOf(elsewhere, 'out=else', ...looks.map((key) => `train.${key}`));
  expect(moved.digest).toBe(first.digest);
  expect(moved.model?.path).not.toBe(first.model?.path);
});
