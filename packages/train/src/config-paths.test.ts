import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ConfigError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { stringify } from 'yaml';
import { loadConfig, printConfig } from './config.ts';
import { openRunFolder } from './run-folder.ts';
import { partModule } from './testing/part-module.ts';

let folder: string;
let elsewhere: string;
beforeEach(() => {
  folder = temporaryFolder();
  elsewhere = temporaryFolder();
});
afterEach(() => vi.restoreAllMocks());

/** A file in the folder, and the folders above it. */
function write(name: string, content: unknown): string {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

const standIn = (here: string) => void vi.spyOn(process, 'cwd').mockReturnValue(here);

/** The message of the ConfigError; it must be one line. */
async function complaint(run: Promise<unknown>): Promise<string> {
  const error = await run.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

const values = { model: 'm', data: { source: '../rows.jsonl' }, eval: { source: 'e' }, out: '~/o' };

/** A module whose part has the options of a schema, beside a file that names it. */
function writePart(name: string, schema: string): void {
  const imports = "import { pathTo } from '@flex/base';\nimport { z } from 'zod';\n";
  write(name, `${imports}export default { name: 'a', schema: z.strictObject(${schema}), make() {} };`);
  symlinkSync(resolve(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'));
}

describe('a path', () => {
  test('in a file is relative to the file, and of the command line to the working directory', async () => {
    standIn(elsewhere);
    const file = write('configs/run.yaml', stringify(values));
    expect(await loadConfig({ file, overrides: ['eval.source=x', 'adapter=./a/b/c'] })).toMatchObject({
      model: join(folder, 'configs/m'),
      data: { source: join(folder, 'rows.jsonl') },
      eval: [{ source: join(elsewhere, 'x') }],
      adapter: join(elsewhere, 'a/b/c'),
      out: join(homedir(), 'o'),
    });
    const toml = write('configs/run.toml', 'model = "m"\nout = "o"\n[data]\nsource = "d"\n');
    const { model, out } = await loadConfig({ file: toml, overrides: ['model=~/m', 'data={source: x}'] });
    expect([model, out]).toEqual([join(homedir(), 'm'), join(folder, 'configs/o')]);
  });

  test('of a recipe is relative to the recipe, and of defaults to the working directory', async () => {
    standIn(elsewhere);
    const file = write(
      'recipe.mjs',
      `export default ${JSON.stringify({ model: 'm', data: { source: 'd' } })}`,
    );
    expect(await loadConfig({ file, defaults: { out: 'runs/x' } })).toMatchObject({
      model: join(folder, 'm'),
      data: { source: join(folder, 'd') },
      out: join(elsewhere, 'runs/x'),
    });
  });

  test('of a module is relative to whoever names it', async () => {
    const module = partModule("{ name: 'a', schema: z.object({}), make() {} }");
    cpSync(module, join(elsewhere, 'mine.mjs'));
    standIn(elsewhere);
    const file = write('run.yaml', stringify({ ...values, regularizer: { use: './mine.mjs' } }));
    expect(await complaint(loadConfig({ file }))).toContain(`${folder}/mine.mjs cannot be loaded`);
    const { regularizer } = await loadConfig({ file, overrides: ['regularizer.use=./mine.mjs'] });
    expect(regularizer).toMatchObject([{ use: join(elsewhere, 'mine.mjs') }]);
  });

  test('that leads to something from the other folder alone is refused with the right one', async () => {
    standIn(elsewhere);
    writeFileSync(join(elsewhere, 'here.jsonl'), '');
    const file = write('run.yaml', 'model: m\nout: o\ndata:\n  source: here.jsonl\n');
    expect(await complaint(loadConfig({ file }))).toBe(
      `${file}:4: data.source: there is no here.jsonl in ${folder}, to which what a file says is relative; ` +
        `write ${elsewhere}/here.jsonl`,
    );
    mkdirSync(join(elsewhere, 'models/llama'), { recursive: true });
    const likeHub = write('hub.yaml', 'model: models/llama\nout: o\ndata: {source: d}\n');
    expect(await complaint(loadConfig({ file: likeHub }))).toContain(`write ${elsewhere}/models/llama`);
    const there = write('there.jsonl', '');
    expect(await complaint(loadConfig({ file, overrides: ['data.source=there.jsonl'] }))).toBe(
      `override "data.source=there.jsonl": data.source: there is no there.jsonl in ${elsewhere}, ` +
        `to which what the command line says is relative; write ${there}`,
    );
  });

  test('among the options of a part is told by its schema', async () => {
    standIn(elsewhere);
    const deep = "z.array(z.object({ at: pathTo('output') }))";
    writePart('mine.mjs', `{ table: pathTo('file'), word: z.string(), deep: ${deep} }`);
    const penalty = { use: './mine.mjs', table: 't.csv', word: 't.csv', deep: [{ at: 'x' }] };
    const file = write('run.yaml', stringify({ ...values, regularizer: penalty }));
    const { regularizer } = await loadConfig({ file });
    expect(regularizer).toMatchObject([
      { table: join(folder, 't.csv'), word: 't.csv', deep: [{ at: join(folder, 'x') }] },
    ]);
  });
});

describe('a printed configuration', () => {
  test('is the same run from any working directory', async () => {
    standIn(folder);
    const file = write('configs/run.yaml', stringify({ ...values, adapter: 'b', out: '../runs/x' }));
    const config = await loadConfig({ file });
    const printed = write('runs/x/config.yaml', printConfig(config));
    standIn(elsewhere);
    expect(await loadConfig({ file: printed })).toEqual(config);
  });
});

describe('the digest of a run', () => {
  const digestOf = async (root: string, here: string) => {
    standIn(here);
    const config = await loadConfig({ file: join(root, 'run.yaml') });
    return (await openRunFolder(config, { resume: false })).runDigest;
  };

  test('stays where its files move together, and changes with a file that a part names', async () => {
    writePart('run/mine.mjs', "{ table: pathTo('file') }");
    const penalty = { use: './mine.mjs', table: 't.csv' };
    write('run/run.yaml', stringify({ ...values, data: { source: 'd' }, out: 'o', regularizer: penalty }));
    for (const name of ['m/config.json', 'd', 'e', 't.csv']) write(`run/${name}`, '{}');
    const digest = await digestOf(join(folder, 'run'), folder);
    expect(await digestOf(join(folder, 'run'), elsewhere)).toBe(digest);
    cpSync(join(folder, 'run'), join(folder, 'moved'), { recursive: true });
    expect(await digestOf(join(folder, 'moved'), elsewhere)).toBe(digest);
    write('moved/t.csv', '1');
    expect(await digestOf(join(folder, 'moved'), elsewhere)).not.toBe(digest);
  });
});
