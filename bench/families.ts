// Random models of every family beside transformers and PEFT, as fixtures/families/make.py wrote them: the
// largest distances by family. Fails above those that the tests hold.
// tsx families.ts --cases DIR [--device cpu|webgpu|gpujs]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { compareFamilyCase, readFamilyCases, tooFar } from '@flex/train/testing';
import { openDevice } from './device.ts';
import { benchOptions } from './harness.ts';

const options = benchOptions({ cases: '' });
const backend = await openDevice(options);
const folder = mkdtempSync(join(tmpdir(), 'flex-families-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

const worst = new Map<
  string,
  { cases: number; texts: number; logits: number; loss: number; grads: number }
>();
for (const familyCase of readFamilyCases(resolve(options.cases))) {
  const family = familyCase.config.model_type;
  const seen = worst.get(family) ?? { cases: 0, texts: 0, logits: 0, loss: 0, grads: 0 };
  const dir = join(folder, familyCase.key);
  try {
    const found = await compareFamilyCase(backend, dir, familyCase);
    worst.set(family, {
      cases: seen.cases + 1,
      texts: seen.texts + familyCase.texts.length,
      logits: Math.max(seen.logits, found.logits),
      loss: Math.max(seen.loss, found.loss),
      grads: Math.max(seen.grads, found.grads),
    });
    for (const line of tooFar(found)) fail(familyCase.key, family, line);
  } catch (error) {
    fail(familyCase.key, family, (error as Error).message.replace(dir, ''));
  }
}

function fail(key: string, family: string, line: string): void {
  console.log(`${key} (${family}): ${line}`);
  process.exitCode = 1;
}

for (const [family, { cases, texts, ...errors }] of worst) {
  const figures = Object.entries(errors).map(([name, x]) => `${name} ${x.toExponential(1)}`);
  console.log(`${family}: ${cases} cases, ${texts} texts, at most: ${figures.join(', ')}`);
}
await backend.close();
