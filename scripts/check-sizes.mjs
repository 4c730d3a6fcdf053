// Fails on source files that are too long to read: over 500 lines, or with lines wider than 110 characters.
// Usage, from the repository root: node scripts/check-sizes.mjs [folder…]
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const MAX_LINES = 500;
const MAX_WIDTH = 110;
const SOURCE = /\.(ts|mts|mjs|wgsl)$/;
const SKIPPED_FOLDERS = new Set(['node_modules', 'dist', 'assets']);
// A string or an address cannot always be broken, so its own length does not count.
const UNBREAKABLE = /'[^']*'|"[^"]*"|`[^`]*`|https?:\/\/\S+/g;

const folders = process.argv.length > 2 ? process.argv.slice(2) : ['packages', 'bench', 'recipes', 'scripts'];
const problems = folders.filter(existsSync).flatMap(sourceFiles).flatMap(check);
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED_FOLDERS.has(entry.name) ? [] : sourceFiles(path);
    return entry.isFile() && SOURCE.test(entry.name) ? [path] : [];
  });
}

function check(file) {
  const lines = readFileSync(file, 'utf8').replace(/\n$/, '').split('\n');
  const wide = lines.flatMap((line, index) =>
    line.length > MAX_WIDTH && line.replace(UNBREAKABLE, '').length > MAX_WIDTH
      ? [`${file}:${index + 1}: ${line.length} characters wide, ${MAX_WIDTH} at most`]
      : [],
  );
  return lines.length > MAX_LINES ? [`${file}: ${lines.length} lines, ${MAX_LINES} at most`, ...wide] : wide;
}
