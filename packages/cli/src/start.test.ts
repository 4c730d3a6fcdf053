import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

const bin = join(import.meta.dirname, '../bin/flex.mjs');
const micro = join(import.meta.dirname, '../assets/micro');
const tasks = join(import.meta.dirname, '../assets/quickstart/tasks.jsonl');

// A bundle may be made first, on a machine that is busy.
vi.setConfig({ testTimeout: 300_000 });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-start-'));
  const hook = `import { appendFileSync } from 'node:fs';
export function load(url, context, next) {
  appendFileSync(${JSON.stringify(join(folder, 'loaded'))}, url + '\\n');
  return next(url, context);
}`;
  const address = `data:text/javascript,${encodeURIComponent(hook)}`;
  writeFileSync(
    join(folder, 'telling.mjs'),
    `import { register } from 'node:module';\nregister(${JSON.stringify(address)});\n`,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in a process of its own. */
function flex(args: readonly string[], node: readonly string[] = []): Promise<Ended> {
  return new Promise((resolve) =>
    execFile(process.execPath, [...node, bin, ...args], {}, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    ),
  );
}

/** The modules that a command loads, after a start that has made the bundle. */
async function loadedBy(...args: string[]): Promise<string[]> {
  await flex(['--version']);
  writeFileSync(join(folder, 'loaded'), '');
  const { code, stderr } = await flex(args, ['--import', join(folder, 'telling.mjs')]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const loaded = readFileSync(join(folder, 'loaded'), 'utf8').trimEnd().split('\n');
  return loaded.filter((url) => url.startsWith('file:'));
}

// A module takes Node about a millisecond, and the loaders of TypeScript a third of a second.
const needless =
  /\.ts$|node_modules\/(tsx|esbuild|webgpu|gpu\.js|vega[^/]*|bullmq|@resvg|@huggingface\/hub)\//;

test.each<[string, readonly string[], number]>([
  ['--version', ['--version'], 30],
  ['model inspect', ['model', 'inspect', micro, '--device', 'cpu', '--quiet'], 80],
  ['train --plan', ['train', '--plan', '--device', 'cpu', '--quiet'], 80],
])('%s loads few modules, and none that it has no use for', async (_, args, most) => {
  const loaded = await loadedBy(...args);
  expect(loaded.filter((url) => needless.test(url))).toEqual([]);
  expect(loaded.length, loaded.join('\n')).toBeLessThanOrEqual(most);
});

test('a recipe in TypeScript anywhere has what the command line has, and an error in it its own line', async () => {
  const recipe = join(folder, 'recipe.ts');
  const text = `import { definePart } from '@flex/base';
import { fourierPart } from '@flex/peft';
import { defineRecipe } from '@flex/train';
import { z } from 'zod';
import { part } from './beside.ts';
enum Kind { Own }
definePart({ name: 'own', schema: z.strictObject({}), make: () => Kind.Own });
if (!(fourierPart.schema instanceof z.ZodObject)) throw new Error('another zod');
if (part !== fourierPart) throw new Error('another @flex/peft');
`;
  writeFileSync(join(folder, 'beside.ts'), "export { fourierPart as part } from '@flex/peft';\n");
  writeFileSync(
    recipe,
    `${text}export default defineRecipe(${JSON.stringify({ model: micro, data: { source: tasks, split: '1-4' } })});\n`,
  );
  const args = ['train', recipe, '--plan', '--device', 'cpu', '--quiet'];
  const { code, stderr } = await flex(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  writeFileSync(recipe, `${text}throw new Error('wrong here');\n`);
  expect(await flex(args)).toMatchObject({
    code: 2,
    stderr: `flex: ${recipe} cannot be loaded: wrong here (line 10)\n`,
  });
});

test("--verbose tells an error's places in the sources", async () => {
  const { stderr } = await flex(['model', 'inspect', folder, '--verbose']);
  expect(stderr).toMatch(/\/packages\/llama\/src\/config\.ts:\d+:\d+/);
});
