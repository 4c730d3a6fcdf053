// Prints what tests depend on and Nx cannot see: Vulkan drivers, and what lies in ../shared.
// Nx takes the output into the hash of a cached test run.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const drivers = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES ?? '';
console.log(process.platform, process.arch, drivers);
for (const folder of [
  '/usr/share/vulkan/icd.d',
  '/etc/vulkan/icd.d',
  '../shared/fixtures',
  '../shared/data',
  '../shared/models',
]) {
  for (const file of filesUnder(folder).sort()) {
    const { size, mtimeMs } = statSync(file);
    console.log(file, size, mtimeMs);
  }
}

function filesUnder(folder) {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}
