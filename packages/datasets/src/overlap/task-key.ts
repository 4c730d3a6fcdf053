import type { Format } from '../format.ts';

/**
 * The task that an id names, the same for every edition and language of a benchmark; null where the id
 * names none outside its own file.
 *
 * `MBJP/601`, `Mbpp/601`, `mbpp_601_name` and, in MBPP's format, `601` are MBPP's task 601;
 * `HumanEval_23_strlen` is HumanEval's 23. Any other id is itself, but for a number by itself, which every
 * file counts from 1: it names a task of `source` alone.
 */
export function taskKey(id: string | null, format: Format, source: string): string | null {
  if (id === null) return null;
  const [, set, number] = /^(mb[a-z]*p|humaneval)[/_](\d+)(?:_\w+)?$/i.exec(id) ?? [];
  if (set !== undefined) return `${/^mb/i.test(set) ? 'mbpp' : 'humaneval'}/${Number(number)}`;
  if (!/^\d+$/.test(id)) return id;
  return format.name === 'mbpp' ? `mbpp/${Number(id)}` : `${source}\n${id}`;
}

/** Languages that MultiPL-E shortens, by MBXP's names for them. */
const languages: ReadonlyMap<string, string> = new Map([
  ['py', 'python'],
  ['js', 'javascript'],
  ['ts', 'typescript'],
  ['rb', 'ruby'],
  ['rs', 'rust'],
  ['pl', 'perl'],
  ['cs', 'csharp'],
  ['jl', 'julia'],
  ['kt', 'kotlin'],
  ['rkt', 'racket'],
  ['sh', 'bash'],
]);

/** One name for each programming language. */
export function languageName(language: string): string {
  const name = language.toLowerCase();
  return languages.get(name) ?? name;
}
