import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryFile } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import type { Language } from '../language.ts';
import { languageIds, languages } from '../languages/index.ts';
import { python } from '../languages/python.ts';
import { toolchainOf } from '../toolchain.ts';
import { checkLanguage } from './check-language.ts';
import { withoutSandbox } from './without-sandbox.ts';

const minutes = 60_000;
const found = new Map(await Promise.all(languages.map(async (it) => [it, await toolchainOf(it)] as const)));

/** A language's file, without its ending, as the script that installs toolchains names it. */
const stemOf = ({ examples }: Language) => basename(examples.pathname, '.txt');
const script = readFileSync(new URL('../../../../scripts/install-sandbox.sh', import.meta.url), 'utf8');
const installed = [...script.matchAll(/languages\+?=\((.*)\)/g)].flatMap(([, names]) => names.split(' '));
const required = process.env.FLEX_REQUIRE_SANDBOX === '1' ? installed : [];

for (const language of languages) {
  const missing = found.get(language)!.missing !== null && !required.includes(stemOf(language));
  test.skipIf(withoutSandbox || missing)(
    `${language.name} [toolchain] keeps its contract`,
    { timeout: 10 * minutes },
    async () => {
      await expect(checkLanguage(language)).resolves.toBeUndefined();
    },
  );
}

test('what the script installs are languages', () => {
  expect(installed.length).toBeGreaterThan(1);
  expect(languages.map(stemOf)).toEqual(expect.arrayContaining(installed));
});

test('languages have names of their own', () => {
  expect(new Set(languageIds).size).toBe(languages.length);
  expect(new Set(languages.map(({ name }) => name)).size).toBe(languages.length);
});

describe.skipIf(withoutSandbox)('a language does not keep its contract', () => {
  test.each<[string, Partial<Language>, RegExp]>([
    [
      'that prints the nonce before the tests',
      { seal: ({ source, code }, nonce) => `print("\\n${nonce}", flush=True)\n${source}${code}` },
      /one that exits with 0 before its tests end must fail, whatever it finds; it is passed/,
    ],
    [
      'that takes a nonce it does not print',
      { seal: ({ source, code }) => source + code },
      /a sealed program must hold the nonce. a right program must pass; it is failed exited/,
    ],
    [
      'that starts a program with the nonce',
      {
        sealed: (text) => ({
          ...python.sealed(text),
          files: { ...python.sealed(text).files, '/flex/x': text },
        }),
      },
      /what starts it must not hold the nonce/,
    ],
    [
      'that does not see an assertion, or what does not parse',
      { signs: {} },
      /by an assertion; it is failed exception .*must be a compile error; it is failed exception/,
    ],
    [
      'whose signs take for ever',
      { signs: { ...python.signs, line: /Oops.*!$/ } },
      /its signs must be read in no time/,
    ],
    [
      'that tells only by its driver what does not parse',
      { plain: { ...python.plain!, unparsable: undefined } },
      /one that reads and does not parse must be a compile error; it is failed exception/,
    ],
    [
      'that runs an unchanged program with its tests',
      { plain: { ...python.plain!, command: [...python.sealed('').command] } },
      /a program that prints twice what it reads must pass; it is failed/,
    ],
  ])('%s', async (_, change, message) => {
    await expect(checkLanguage({ ...python, ...change })).rejects.toThrow(message);
  });

  test('whose examples lack one, or do what they must not', async () => {
    const text = readFileSync(python.examples, 'utf8');
    const examples = (content: string) => pathToFileURL(temporaryFile('examples.txt', content));
    const lacking = { ...python, examples: examples(text.replace('===== raises', '===== rises')) };
    await expect(checkLanguage(lacking)).rejects.toThrow('examples.txt: has no section "===== raises"');
    const wrong = { ...python, examples: examples(text.replace('2 * x + 1', '2 * x + 3')) };
    await expect(checkLanguage(wrong)).rejects.toThrow(
      /^language "Python": a right program must pass; it is failed assertion \(.*\)$/,
    );
  });
});
