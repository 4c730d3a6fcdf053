// Makes of the workspace's sources what `pnpm flex` runs: a file for each entry of the packages' exports, and
// files that they share. Where Node 20 loads the sources, it asks hooks in another thread for 600 modules.
import { createHash, randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const hour = 3600 * 1000;
/** For which a bundle is kept that no process runs: one that runs may import the rest of its own. */
const kept = 72 * hour;

/**
 * The files to import, made where they are not there, by what is imported: `@flex/base`, `zod`. The folder that
 * they lie in bears the digest of all they are made from, and their text is that of the digest, so that they
 * are never old; this process keeps it from being removed. Throws where it can neither be read nor written.
 */
export async function bundle(root = join(import.meta.dirname, '..')) {
  const packages = join(root, 'packages');
  const cache = join(root, 'node_modules/.cache/flex');
  // What another branch has may leave a folder without its package.json.
  const isPackage = (name) => existsSync(join(packages, name, 'package.json'));
  const names = readdirSync(packages).filter(isPackage).sort();
  const manifests = names.map((name) => readText(join(packages, name, 'package.json')));
  const sources = new Map(
    names.flatMap((name) => sourcesIn(join(packages, name, 'src'))).map((path) => [path, readText(path)]),
  );
  const installed = readText(join(root, 'node_modules/.pnpm/lock.yaml'));
  const made = [root, readText(import.meta.filename), installed, ...manifests, ...sources];
  const folder = join(cache, digestOf(made));
  const entries = [
    ['zod', 'zod'],
    ...names.flatMap((name, i) => entriesOf(join(packages, name), JSON.parse(manifests[i]))),
  ];
  if (!touch(folder)) {
    await make(folder, { entries, sources, packages });
    removeOld(cache);
  }
  accessSync(join(folder, 'zod.js'), constants.R_OK);
  setInterval(() => touch(folder), hour).unref();
  return Object.fromEntries(
    entries.map(([specifier]) => [specifier, pathToFileURL(join(folder, `${fileOf(specifier)}.js`)).href]),
  );
}

const readText = (path) => readFileSync(path, 'utf8');

function sourcesIn(folder) {
  const files = readdirSync(folder, { recursive: true }).sort();
  // An editor's own files begin with a dot, and may be links to nothing.
  const isSource = (file) => /(?<!\.test)\.ts$/.test(file) && !basename(file).startsWith('.');
  return files.filter(isSource).map((file) => join(folder, file));
}

function digestOf(texts) {
  const hash = createHash('sha256');
  for (const text of texts.flat()) hash.update(`${Buffer.byteLength(text)} `).update(text);
  return hash.digest('hex');
}

/** What is imported from a package, with its file: `['@flex/tensor/wasm', '…/src/wasm/index.ts']`. */
function entriesOf(folder, { name, exports }) {
  return Object.entries(exports).map(([entry, file]) => [name + entry.slice(1), join(folder, file)]);
}

const fileOf = (specifier) => specifier.replaceAll('/', '+');

/** Makes a bundle count as used now, where it is this user's; gives whether it is there. */
function touch(folder) {
  try {
    utimesSync(folder, new Date(), new Date());
    return true;
  } catch {
    return existsSync(folder);
  }
}

/** Bundles into a folder beside, which then gets the name: another process sees all of it or nothing. */
async function make(folder, { entries, sources, packages }) {
  const { build } = await import('esbuild');
  mkdirSync(dirname(folder), { recursive: true });
  // Not mkdtemp, whose folders other users cannot read.
  const beside = `${folder}.${randomUUID()}`;
  mkdirSync(beside);
  try {
    await build({
      entryPoints: Object.fromEntries(entries.map(([specifier, file]) => [fileOf(specifier), file])),
      outdir: beside,
      absWorkingDir: join(packages, 'cli'),
      ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
      ...{ sourcemap: true, sourcesContent: false, keepNames: true, logLevel: 'silent' },
      // What the digest knows nothing of has no say.
      tsconfigRaw: {},
      plugins: [fromElsewhere(packages), asTheyLie(sources)],
    });
    renameSync(beside, folder);
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    // Another process was first.
    if (!['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error;
  }
}

function removeOld(cache) {
  const oldest = Date.now() - kept;
  for (const path of readdirSync(cache).map((name) => join(cache, name))) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats && stats.mtimeMs < oldest) rmSync(path, { recursive: true, force: true });
  }
}

/** Packages of others stay where they lie, but for zod, which has a hundred files. */
const fromElsewhere = (packages) => ({
  name: 'from-elsewhere',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, kind, resolveDir, importer }) => {
      const isBundled = path === 'zod' || path.startsWith('@flex/') || !importer.startsWith(packages);
      if (isBundled || path.startsWith('node:') || pluginData === 'asked') return undefined;
      const found = await resolve(path, { kind, resolveDir, importer, pluginData: 'asked' });
      return found.errors.length > 0 ? found : { path: pathToFileURL(found.path).href, external: true };
    });
  },
});

/** The sources as they were digested, which know where they lie: data and workers are beside them. */
const asTheyLie = (sources) => ({
  name: 'as-they-lie',
  setup({ onLoad }) {
    onLoad({ filter: /\/packages\/[^/]+\/src\/.*\.ts$/ }, ({ path }) => {
      const contents = sources
        .get(path)
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href));
      if (contents.includes('import.meta.'))
        throw new Error(`${path}: import.meta has dirname and url alone`);
      return { contents, loader: 'ts' };
    });
  },
});
