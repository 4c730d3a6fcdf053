import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, describe, expect, test } from 'vitest';
import { openBrowser, openPage, withoutBrowser } from '../testing/browser.ts';
import { serveWatch } from './serve-watch.ts';
import { fakeStudy, linesOf, runsOf } from './testing/fake-study.ts';
import { listen } from './testing/listen.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';
const [seeds, updates] = isLong ? [67, 10_000] : [4, 600];
const names = runsOf(seeds);
/** Runs that go on while the page is looked at, a line each tenth of a second. */
const going = names.slice(0, 4);
/** Seconds in which they are looked at. */
const seconds = isLong ? 10 : 1;

const study = fakeStudy(seeds);
const keyFolder = mkdtempSync(join(tmpdir(), 'flex-watch-key-'));
afterAll(() => {
  study.remove();
  rmSync(keyFolder, { recursive: true });
});

/** How a page drew for a while. */
interface Drawing {
  /** Of the time, what its main thread took of a processor. */
  readonly busy: number;
  /** Milliseconds between frames: their median, and what 5 % are longer than. */
  readonly median: number;
  readonly most: number;
}

describe.skipIf(withoutBrowser)(`${names.length} runs of ${updates} updates`, () => {
  test('are read, told and drawn without a pause that is seen', { timeout: 600_000 }, async () => {
    const loss = (step: number) => 2 + Math.sin(step * 12.9898);
    const lines = linesOf(1, updates - 200, loss);
    for (const name of names) {
      study.begin(name, updates);
      study.write(name, lines);
      if (!going.includes(name)) study.end(name, 'done');
    }
    const server = await serveWatch(study.folder, { port: 0, keyFolder });
    const [begun, before] = [performance.now(), process.cpuUsage()];
    const listener = listen(server.address);
    while (!(await isRead(listener))) expect(performance.now() - begun).toBeLessThan(300_000);
    const reading = (performance.now() - begun) / 1000;
    const readingCpu = cpuSince(before);
    const atOnce = listener.bytes;

    let step = updates - 200;
    const writing = setInterval(() => {
      step++;
      for (const name of going) study.write(name, linesOf(step, step, loss));
    }, 100);
    const liveBefore = process.cpuUsage();
    await pause(seconds);
    const liveCpu = cpuSince(liveBefore) / seconds;
    const live = (listener.bytes - atOnce) / seconds;
    listener.close();

    const browser = await openBrowser();
    const { page, problems } = await openPage(browser, server.address, { width: 1400, height: 1000 });
    await page
      .locator('#runs tbody tr')
      .nth(names.length - 1)
      .waitFor();
    await page.waitForFunction(() => document.querySelectorAll('canvas').length === 5);
    await pause(1);
    const drawn = await drawingWhile(page, () => pause(seconds));
    const pointed = await drawingWhile(page, async () => {
      for (let i = 0; i < 10 * seconds; i++) {
        await page.mouse.move(600 + ((37 * i) % 700), 300 + ((11 * i) % 300));
        await pause(0.05);
      }
    });
    clearInterval(writing);
    await browser.close();
    await server.close();

    const figures = { reading, readingCpu, atOnce, live, liveCpu, drawn, pointed };
    if (isLong) console.log(JSON.stringify(figures));
    expect(problems).toEqual([]);
    expect(atOnce).toBeLessThan(names.length * 60_000);
    expect(live).toBeLessThan(20_000);
    // Of a processor, whatever else the machine does.
    expect(liveCpu).toBeLessThan(0.3);
    expect(drawn.busy).toBeLessThan(0.5);
    expect(pointed.busy).toBeLessThan(0.9);
  });
});

/** Whether a page knows of all runs, and has a curve of the last one. */
async function isRead(listener: ReturnType<typeof listen>): Promise<boolean> {
  await pause(0.05);
  return listener.rows.size === names.length && listener.header.read === names.length
    ? listener.curve(names.at(-1)!, 'tokens_per_second').length > 0
    : false;
}

/** How the page draws meanwhile. */
async function drawingWhile(page: Page, work: () => Promise<void>): Promise<Drawing> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const taken = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')!.value;
  };
  await page.evaluate(`{
    const own = [];
    window.frames_ = own;
    let last = performance.now();
    (function frame() {
      if (window.frames_ !== own) return;
      const now = performance.now();
      own.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    })();
  }`);
  const [begun, before] = [performance.now(), await taken()];
  await work();
  const busy = (1000 * ((await taken()) - before)) / (performance.now() - begun);
  const frames: number[] = await page.evaluate('window.frames_.sort((a, b) => a - b)');
  return { busy, median: frames[frames.length >> 1], most: frames[Math.floor(0.95 * frames.length)] };
}

/** Seconds of the processor that this process took. */
function cpuSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const pause = (seconds: number) => new Promise<void>((later) => setTimeout(later, 1000 * seconds));
