// Makes of every package what is published: dist/NAME with ES modules, their types, and what else it needs.
// Usage: node scripts/build.mjs
// Only what an entry of its exports reaches is compiled, so neither tests nor their helpers travel. In the
// workspace a package exports ./src/*.ts and needs no build; the package.json written here exports ./dist.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const out = join(root, 'dist');
const readJson = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'));
const writeJson = (value, ...path) => writeFileSync(join(...path), `${JSON.stringify(value, null, 2)}\n`);

const { engines } = readJson(root, 'package.json');
const packages = readdirSync(join(root, 'packages')).map((folder) => {
  const source = join(root, 'packages', folder);
  return { folder, source, manifest: readJson(source, 'package.json') };
});
const versions = new Map(packages.map(({ manifest: { name, version } }) => [name, version]));

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
compile();
packages.forEach(complete);

/** Every entry and what it imports, as dist/NAME/dist/*.js and *.d.ts. */
function compile() {
  const config = join(out, 'tsconfig.json');
  // By path: tsc emits nothing for a file that it finds through node_modules.
  const paths = Object.fromEntries(packages.flatMap(entriesOf));
  writeJson(
    {
      extends: '../tsconfig.base.json',
      compilerOptions: {
        rootDir: '../packages',
        outDir: '.',
        composite: false,
        tsBuildInfoFile: null,
        emitDeclarationOnly: false,
        paths,
      },
      files: Object.values(paths).flat(),
    },
    config,
  );
  const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', config], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
  rmSync(config);
  for (const { folder } of packages) renameSync(join(out, folder, 'src'), join(out, folder, 'dist'));
}

/** What is imported from a package, with its file: `['@flex/tensor/testing', ['…/src/testing/index.ts']]`. */
function entriesOf({ source, manifest: { name, exports } }) {
  return Object.entries(exports).map(([entry, file]) => [name + entry.slice(1), [join(source, file)]]);
}

/** Adds what no compiler makes: data beside the sources, the folders that `files` names, and the texts. */
function complete({ folder, source, manifest }) {
  const target = join(out, folder);
  const filter = (path) => extname(path) !== '.ts';
  cpSync(join(source, 'src'), join(target, 'dist'), { recursive: true, filter });
  // A link out of the package leads nowhere once it is published.
  const readme = readFileSync(join(source, 'README.md'), 'utf8');
  writeFileSync(join(target, 'README.md'), readme.replaceAll(/\[([^\]]*)\]\(\.\.\/[^)]*\)/g, '$1'));
  for (const file of manifest.files ?? []) {
    cpSync(join(source, file), join(target, file), { recursive: true });
  }
  cpSync(join(root, 'LICENSE'), join(target, 'LICENSE'));
  writeJson(published(manifest), target, 'package.json');
}

/** The package.json of a package whose built files lie in dist/. */
function published({ name, version, description, license, type, bin, exports, ...manifest }) {
  const { peerDependencies, peerDependenciesMeta } = manifest;
  const built = Object.entries(exports).map(([entry, file]) => {
    const path = file.replace(/^\.\/src\/(.*)\.ts$/, './dist/$1');
    return [entry, { types: `${path}.d.ts`, default: `${path}.js` }];
  });
  const dependencies = Object.entries(manifest.dependencies ?? {}).map(([dependency, range]) => [
    dependency,
    range === 'workspace:*' ? versions.get(dependency) : range,
  ]);
  return {
    ...{ name, version, description, license, type, engines, bin },
    exports: Object.fromEntries(built),
    dependencies: Object.fromEntries(dependencies),
    ...{ peerDependencies, peerDependenciesMeta },
  };
}
