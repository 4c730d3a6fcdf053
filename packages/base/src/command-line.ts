import { parse } from 'node:path';

/** What stands in place of a secret. */
const hidden = '***';

const secretWords = [
  '(?:api|access|private|secret)[_-]?key',
  ...['secret', 'token', 'passw(?:or)?d', 'credentials?', 'auth(?:orization)?', 'signature', 'sig'],
].join('|');

/** A name whose value is a secret: `token` and `hf.api_key`, but not `max-new-tokens`. */
const secretName = new RegExp(`(?:^|[._-])(?:${secretWords})$`, 'i');

/** Such a name within an argument, as in `{token: abc}` or `?api_key=abc`, up to its value; and that. */
const secretPair = new RegExp(
  `((?<!\\w)(?:[\\w-]*[._-])?(?:${secretWords})["']?\\s*[:=]\\s*["']?)[^\\s"',}\\]&#;]+`,
  'gi',
);

/** Tokens that a service marks as its own. */
const knownTokens = [
  ...['hf_[A-Za-z0-9]{30,}', 'sk-[\\w-]{32,}', 'gh[opsu]_[A-Za-z0-9]{36,}', 'github_pat_\\w{22,}'],
  ...['glpat-[\\w-]{20,}', 'AKIA[0-9A-Z]{16}'],
];
const knownToken = new RegExp(`\\b(?:${knownTokens.join('|')})\\b`, 'g');

/**
 * The command that this process runs: its program's name, then its arguments as they were given, but for
 * secrets, which become `***`: values of arguments named as secrets are, passwords and such parameters in
 * addresses, and tokens that say so themselves.
 */
export function commandLine([, program = '', ...args]: readonly string[] = process.argv): string[] {
  return [parse(program).name, ...args.map((text, i) => withoutSecrets(text, args[i - 1] ?? ''))];
}

function withoutSecrets(text: string, before: string): string {
  if (/^-/.test(before) && secretName.test(before) && !text.startsWith('-')) return hidden;
  const [, name, sign] = /^([\w.-]+?)(=|:\s*)./s.exec(text) ?? [];
  if (name !== undefined && secretName.test(name)) return `${name}${sign}${hidden}`;
  return text
    .replaceAll(/(\w:\/\/)[^/\s]+@/g, `$1${hidden}@`)
    .replaceAll(secretPair, `$1${hidden}`)
    .replaceAll(knownToken, hidden);
}
