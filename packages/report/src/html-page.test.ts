import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryFolder } from '@flex/base/testing';
import { readResults } from '@flex/eval';
import { randomOf, writeResultFolder } from '@flex/eval/testing';
import { simulatedStudy } from '@flex/study/testing';
import { expect, test } from 'vitest';
import { makeReport } from './make-report.ts';
import type { Sources } from './read-sources.ts';
import { accessibilityProblems, openBrowser, openPage, tooWide, withoutBrowser } from './testing/browser.ts';
import { reportFiles, writeReport } from './write-report.ts';

/** A study, two runs and two evaluations, with every kind of chart, list and table. */
function sources(folder: string): Sources {
  const write = (file: string, text: string) => {
    mkdirSync(join(folder, file, '..'), { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  const study = simulatedStudy(
    { seeds: 3, examples: 20, effects: [0, 0.1, -0.2, 0], spread: { seed: 0.05, example: 0.1, rest: 0.1 } },
    randomOf(1),
  );
  for (const { name, arm } of study.runs)
    write(`configs/${name}.yaml`, `lora: {rank: ${arm.length}}\nout: x\n`);
  const lines = Array.from({ length: 200 }, (_, i) => ({
    ...{ step: i, loss: 2 + Math.sin(i), grad_norm: 1 / (i + 1), 'weighted_penalty.fourier': i },
    ...(i % 50 === 0 && { eval: { tasks: 3 - i / 100 } }),
  }));
  const bands = Array.from({ length: 32 }, (_, i) => (i + 1) / 528);
  const spectra = [0, 100, 200].map((step) => ({
    step,
    totals: ['A', 'B'].map((name) => ({ name, power: 1, share_below: 0.4, bands })),
  }));
  const runs = ['a', 'a-very-long-name-of-a-run-that-is-longer-than-any-column'].map((name, i) => {
    write(`${name}/config.yaml`, `train: {seed: ${i}}\n`);
    write(`${name}/spectrum.jsonl`, spectra.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return { name, folder: join(folder, name), summary: null, metrics: () => lines };
  });
  const evaluations = ['--+-', '+-++'].map((marks, i) => {
    const problems = Object.fromEntries([...marks].map((mark, j) => [`HumanEval/${j}`, mark]));
    return readResults(writeResultFolder(join(folder, `evaluation-${i}`), { marks: problems }));
  });
  return { studies: [{ ...study, folder }], runs, evaluations };
}

test.skipIf(withoutBrowser)(
  'a page opens in a browser, light, dark, on a telephone, on paper and without scripts',
  async () => {
    const folder = temporaryFolder();
    const bands = Array.from({ length: 32 }, () => [0.02, 0.04] as const);
    const nullBandOf = async () => new Map([['A', bands]]);
    const files = reportFiles(join(folder, 'report.html'));
    await writeReport(await makeReport(sources(folder), { nullBandOf }), files);
    const url = pathToFileURL(files.html).href;
    const browser = await openBrowser();
    try {
      for (const view of [{ colorScheme: 'dark' as const }, { width: 400 }]) {
        const { page, problems, requests, close } = await openPage(browser, url, view);
        for (const summary of await page.locator('summary').all()) await summary.press('Enter');
        expect(await page.locator('details:not([open])').count()).toBe(0);
        expect({ problems, requests }).toEqual({ problems: [], requests: [url] });
        expect(await tooWide(page)).toEqual([]);
        expect(await accessibilityProblems(page)).toEqual([]);
        await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
        const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        expect(paper).toBe('rgb(255, 255, 255)');
        await close();
      }
      const { page, close } = await openPage(browser, url, { javaScriptEnabled: false });
      const figures = readFileSync(files.html, 'utf8').split('<figure>').length - 1;
      expect(figures).toBeGreaterThan(12);
      expect(await page.locator('figure svg').count()).toBe(figures);
      expect(await page.locator('script').count()).toBe(0);
      await close();
    } finally {
      await browser.close();
    }
  },
  120_000,
);
