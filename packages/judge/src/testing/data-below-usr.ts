import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where containers, distributions and packages have their data. */
const places = ['/usr/src/app', '/usr/share', '/usr/lib/python3/dist-packages', '/usr/local/share'];
const folders = places.map((place) => join(place, 'flex-attack-data'));

/**
 * Copies files of this folder to below /usr, as where a benchmark is installed, and gives what removes them.
 * What hostile programs look for is in the names. Needs root.
 */
export function placeDataBelowUsr(files: readonly string[]): () => void {
  const made = places.filter((place) => !existsSync(place));
  const remove = () => {
    for (const folder of [...folders, ...made]) rmSync(folder, { recursive: true, force: true });
  };
  remove();
  process.once('exit', remove);
  for (const folder of folders) {
    mkdirSync(join(folder, 'data'), { recursive: true });
    for (const file of files) copyFileSync(file, join(folder, 'data', file.slice(dirname(file).length + 1)));
    writeFileSync(join(folder, '__init__.py'), 'canonical_solution = "    return a + b"\n');
  }
  return () => {
    process.off('exit', remove);
    remove();
  };
}
