import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  accessibilityProblems,
  openBrowser,
  openPage,
  tooWide,
  type View,
  withoutBrowser,
} from '../testing/browser.ts';
import { serveWatch, type WatchServer } from './serve-watch.ts';
import { type FakeStudy, fakeStudy, linesOf, runsOf } from './testing/fake-study.ts';

describe.skipIf(withoutBrowser)('the page', () => {
  const keyFolder = mkdtempSync(join(tmpdir(), 'flex-watch-key-'));
  const [first, second, third] = runsOf(2);
  let browser: Browser;
  let study: FakeStudy;
  let server: WatchServer;
  const pages: { close(): Promise<void> }[] = [];

  const serve = async (port = 0, folder = study.folder) => {
    server = await serveWatch(folder, { port, keyFolder, interval: 50 });
  };
  const look = async (view?: View, hash = '') => {
    const opened = await openPage(browser, server.address + hash, view);
    pages.push(opened);
    return opened;
  };
  /** Waits until the words of an element are as wanted. */
  const until = (page: Page, selector: string, words: string | RegExp) =>
    page.locator(selector).filter({ hasText: words }).first().waitFor({ timeout: 120_000 });
  /** Waits until so many charts have lines. */
  const untilDrawn = (page: Page, charts: number) =>
    page.waitForFunction(
      (wanted) => {
        const canvases = [...document.querySelectorAll('canvas')];
        const drawn = canvases.filter((canvas) => {
          const { width, height } = canvas;
          const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, width, height);
          // Colours, not the greys of axes.
          return data.some(
            (value, i) => i % 4 === 0 && data[i + 3] > 200 && Math.abs(value - data[i + 2]) > 60,
          );
        });
        return drawn.length >= wanted;
      },
      charts,
      { timeout: 120_000 },
    );

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser.close();
    rmSync(keyFolder, { recursive: true });
  });
  beforeEach(async () => {
    study = fakeStudy(2);
    for (const run of [first, second, third]) study.begin(run, 100);
    study.write(first, linesOf(1, 100));
    study.end(first, 'done');
    study.write(
      second,
      linesOf(1, 40, (step) => 2 + Math.sin(step)),
    );
    study.fail(third, 'the disk is <b>full</b><img src=x onerror="document.title=1">');
    await serve();
  });
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
    await server.close();
    study.remove();
  });

  test('shows a study in light, dark and 400 px, with nothing that axe finds', async () => {
    const { page, problems, requests } = await look({ width: 1400, height: 1000 });
    await until(
      page,
      '#progress-words',
      '1 of 6 runs are done, 1 stopped, or elsewhere, 1 failed, 3 waiting',
    );
    await until(page, '#connection', 'Live');
    await until(page, '#runs tr', /^lambda-0\/seed-0done100 of 100/);
    await until(page, '#runs tr', 'the disk is <b>full</b><img src=x onerror="document.title=1">');
    await until(page, '#arms tr', /lambda-01 of 22\.010$/);
    for (const [colorScheme, width, paper] of [
      ['light', 1400, 'rgb(255, 255, 255)'],
      ['dark', 1400, 'rgb(20, 23, 27)'],
      ['light', 400, 'rgb(255, 255, 255)'],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 1000 });
      await untilDrawn(page, 4);
      expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(paper);
      expect(await accessibilityProblems(page)).toEqual([]);
      expect(await tooWide(page)).toEqual([]);
    }
    expect(problems).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(server.address))).toEqual([]);
  });

  test('follows what runs write, and goes on when the server does', async () => {
    const { page } = await look();
    await until(page, '#runs tr', /^lambda-0\/seed-1.*40 of 100/);
    study.write(second, linesOf(41, 60));
    await until(page, '#runs tr', /^lambda-0\/seed-1.*60 of 100/);
    const { port } = new URL(server.address);
    await server.close();
    await until(page, '#connection', 'Not connected; trying again');
    study.write(second, linesOf(61, 100));
    study.end(second, 'done');
    await serve(Number(port));
    await until(page, '#connection', 'Live');
    await until(page, '#progress-words', /^2 of 6 runs are done/);
    // Means of both: 2 + 1/100.
    await until(page, '#arms tr', /lambda-02 of 22\.010$/);
  });

  test('is read by keys, shows arms alone, and keeps what was chosen', async () => {
    const { page } = await look();
    const chart = page.locator('figure', { hasText: 'Training loss' });
    await untilDrawn(page, 2);
    await chart.locator('.plot').focus();
    const read = async (...keys: string[]) => {
      for (const key of keys) await page.keyboard.press(key);
      return chart.locator('output').textContent();
    };
    expect(await read('ArrowLeft')).toBe('lambda-0/seed-0, update 100: 0.03000');
    expect(await read('ArrowLeft', 'ArrowLeft')).toBe('lambda-0/seed-0, update 98: 0.03061');
    expect(await read('ArrowDown')).toBe('lambda-0/seed-1, update 40: 2.745');
    expect(await read('ArrowUp')).toMatch(/^lambda-0\/seed-0, update 40/);
    const arm = page.locator('#arms button', { hasText: 'matched-l2' });
    await arm.press('Enter');
    expect(await arm.getAttribute('aria-pressed')).toBe('true');
    await page.locator('summary').click();
    await page.getByLabel('Learning rate').check();
    await page.getByLabel('means of each arm').check();
    await page.locator('figure', { hasText: 'Learning rate' }).waitFor();
    await page.reload();
    await page.locator('figure', { hasText: 'Learning rate' }).waitFor();
    await page.locator('#arms button[aria-pressed=true]', { hasText: 'matched-l2' }).waitFor();
    expect(await page.getByLabel('means of each arm').isChecked()).toBe(true);
  });

  test('reads the point under the pointer, with the range that it stands for', async () => {
    study.write(
      first,
      linesOf(101, 3000, (step) => (step === 2001 ? 9 : 1)),
    );
    const { page } = await look();
    const chart = page.locator('figure', { hasText: 'Training loss' });
    await until(page, '#runs tr', /^lambda-0\/seed-0.*3000 of 100/);
    await untilDrawn(page, 2);
    const { x, y, width, height } = (await chart.locator('.u-over').boundingBox())!;
    // The least loss of all, at the right.
    for (let at = height - 1; at > 0; at -= 6) {
      await page.mouse.move(x + width * 0.95, y + at);
      if ((await chart.locator('output').textContent())?.startsWith('lambda')) break;
    }
    expect(await chart.locator('output').textContent()).toMatch(
      /^lambda-0\/seed-0, update 2\d{3}: 1\.000 \(1\.000 to 1\.000, mean of 4\)$/,
    );
  });

  test('shows one run alone', async () => {
    await server.close();
    await serve(0, study.at(second));
    const { page, problems } = await look();
    await until(page, '#progress-words', /^Stopped, or elsewhere: update 40 of 100/);
    await untilDrawn(page, 3);
    expect(await page.locator('#arms').isVisible()).toBe(false);
    expect(await accessibilityProblems(page)).toEqual([]);
    expect(problems).toEqual([]);
  });
});
