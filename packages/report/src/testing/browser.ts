import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';

const executablePath = '/usr/bin/chromium';

/** Whether there is no Chromium here (`scripts/install-chromium.sh`), so that no page can be looked at. */
export const withoutBrowser = !existsSync(executablePath);

/** How a page is looked at. */
export interface View {
  /** CSS pixels; default 1200 by 800. */
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
  /** Whether the page may run scripts; default true. */
  readonly javaScriptEnabled?: boolean;
}

/** A page that is open, and what went wrong in it so far. */
export interface OpenPage {
  readonly page: Page;
  /** What its console says as an error or a warning, errors that nothing caught, and requests that failed. */
  readonly problems: string[];
  /** Every address that it asked for, its own too. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** A headless Chromium that reaches nothing but this machine. */
export function openBrowser(): Promise<Browser> {
  // Tests run as root in containers too, where Chromium's own sandbox cannot.
  const args = [
    '--no-sandbox',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost, EXCLUDE 127.0.0.1',
  ];
  return chromium.launch({ executablePath, args });
}

/** Opens an address in a profile of its own. */
export async function openPage(browser: Browser, url: string, view: View = {}): Promise<OpenPage> {
  const { width = 1200, height = 800, ...rest } = view;
  const context = await browser.newContext({ viewport: { width, height }, ...rest });
  const page = await context.newPage();
  const [problems, requests]: string[][] = [[], []];
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type())) problems.push(`console: ${line.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`uncaught: ${error.message}`));
  page.on('request', (request) => requests.push(request.url()));
  page.on('requestfailed', (request) =>
    problems.push(`request: ${request.url()}: ${request.failure()?.errorText}`),
  );
  await page.goto(url);
  return { page, problems, requests, close: () => context.close() };
}

/**
 * What axe finds wrong by WCAG and its best practices, a line a rule with its first elements. Needs a page
 * that may run scripts.
 */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
  return violations.map(({ id, impact, help, nodes }) => {
    const first = nodes.slice(0, 3).map(({ target }) => target.join(' '));
    return `${id} (${impact}): ${help}: ${nodes.length} times, at ${first.join(', ')}`;
  });
}

/** The elements that make the page wider than its window; none where nothing is cut off. */
export function tooWide(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const { clientWidth, scrollWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const wide = [...document.body.querySelectorAll('*')].filter(
      (element) => element.getBoundingClientRect().right > clientWidth + 1,
    );
    return wide.map((element) => `${element.tagName.toLowerCase()}.${element.getAttribute('class')}`);
  });
}
