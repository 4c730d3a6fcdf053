import { type LanguageId, languageOf } from '@flex/judge';
import type { Completion, Problem } from './benchmark.ts';
import { definitionFinder, openDefinition } from './definitions.ts';
import type { SampleRow } from './results.ts';

/** A fenced code block of Markdown: the language that its fence names, in lower case, and its lines. */
export interface FencedBlock {
  readonly tag: string;
  readonly lines: readonly string[];
}

/**
 * The fenced code blocks of a text, as CommonMark has them: three or more backticks or tildes open one, as
 * many or more of the same, at most three columns further in, close it, and so does the end of the text. What
 * the opening fence is indented by, with the list's marker before it, is taken off each line; lines may end
 * in \r\n. Of a block of Markdown, the blocks within it.
 */
export function fencedBlocks(text: string): readonly FencedBlock[] {
  return blocksOf(text.split(/\r?\n/)).flatMap((block) =>
    /^(?:markdown|md)$/.test(block.tag) ? blocksOf(block.lines) : block,
  );
}

const opening = /^([ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(`{3,}|~{3,})([^`]*)$/;
const closing = /^([ \t]*)(`{3,}|~{3,})[ \t]*$/;

function blocksOf(lines: readonly string[]): FencedBlock[] {
  const blocks: FencedBlock[] = [];
  let open: { readonly indent: number; readonly fence: string; readonly lines: string[] } | null = null;
  for (const line of lines) {
    if (open === null) {
      const found = opening.exec(line);
      if (found === null) continue;
      const [, before, fence, info] = found;
      open = { indent: before.length, fence, lines: [] };
      blocks.push({
        tag: /[\w+#-]*/.exec(info.replace(/^[\s{.]+/, ''))![0].toLowerCase(),
        lines: open.lines,
      });
    } else if (closes(line, open)) {
      open = null;
    } else {
      const ink = line.search(/[^ \t]/);
      open.lines.push(line.slice(Math.min(open.indent, ink < 0 ? line.length : ink)));
    }
  }
  return blocks;
}

function closes(
  line: string,
  { indent, fence }: { readonly indent: number; readonly fence: string },
): boolean {
  const found = closing.exec(line);
  return found !== null && found[1].length <= indent + 3 && found[2].startsWith(fence);
}

/**
 * The code of an answer in chat form. Of its fenced blocks that is the first that defines the function which
 * the prompt ends in, or, where it ends in none, one that the prompt calls; else the first in the problem's
 * language, else the first. A block that defines that function is a whole program, before which comes what
 * the prompt has before its own definition, such as imports and helpers; any other continues the prompt.
 *
 * Where no block defines that function and the text begins with its body, as after a prompt that has opened a
 * block, the code is what stands before the fence that closes it. A text without fenced blocks, and a
 * completion that is a whole program, stay as they are.
 */
export function extractCode(completion: Completion, { prompt, language, stop }: Problem): Completion {
  const blocks = completion.kind === 'program' ? [] : fencedBlocks(completion.text);
  if (blocks.length === 0) return completion;
  const asked = openDefinition(prompt.split('\n'), language);
  const names = asked ? [asked.name] : [...prompt.matchAll(/\b[A-Za-z_]\w*(?=\()/g)].map(([name]) => name);
  const tags = [language, languageOf(language).name.toLowerCase()];
  const definedAt = definitionFinder(names, language);
  const defining = blocks.find((block) => definedAt(block.lines) >= 0);
  const body = asked && !defining ? bodyBeforeFence(completion.text) : null;
  if (body !== null) return { kind: 'completion', text: body };
  const { lines } = defining ?? blocks.find(({ tag }) => tags.includes(tag)) ?? blocks[0];
  const at = definedAt(lines);
  if (asked === null || at < 0) {
    const gap = prompt === '' || prompt.endsWith('\n') ? '' : '\n';
    return { kind: 'completion', text: `${gap}${lines.join('\n')}\n` };
  }
  const head = prompt.split('\n').slice(0, asked.line);
  return { kind: 'program', text: wholeProgram({ head, lines, at, language, stop }) };
}

/** A text's indented beginning, up to a bare fence at the first of its fences; null where it has none. */
function bodyBeforeFence(text: string): string | null {
  const lines = text.split('\n');
  const at = lines.findIndex((line) => opening.test(line.trimEnd()));
  const before = lines.slice(0, Math.max(at, 0));
  const first = before.find((line) => line.trim() !== '');
  const isBody = first !== undefined && /^(?: {2}|\t)/.test(first) && closing.test(lines[at].trimEnd());
  return isBody ? `${before.join('\n')}\n` : null;
}

interface Definition {
  /** The prompt's lines before its definition. */
  readonly head: readonly string[];
  readonly lines: readonly string[];
  /** The line that defines the function. */
  readonly at: number;
  readonly language: LanguageId;
  readonly stop: readonly string[];
}

function wholeProgram({ head, lines, at, language, stop }: Definition): string {
  const isClass = language === 'java' && lines.slice(0, at).some((line) => startsClass.test(line));
  const outside = isClass
    ? head.slice(
        0,
        head.findIndex((line) => startsClass.test(line)),
      )
    : head;
  const known = new Set(outside.filter((line) => header.test(line)).map(keyOfHeader));
  const before = lines.slice(0, at).filter((line) => !header.test(line) || !known.has(keyOfHeader(line)));
  const isFirst = (line: string) => language === 'py' && line.startsWith('from __future__ ');
  const top = [...before.filter(isFirst), ...outside, ...before.filter((line) => !isFirst(line))];
  return `${[...top, ending(lines.slice(at), language, stop)].join('\n')}\n${
    language === 'java' && !isClass ? '}\n' : ''
  }`;
}

const startsClass = /^\s*(?:(?:public|final|abstract|static)\s+)*class\s/;

/** A line at the top of a file that must not come twice. */
const header =
  /^\s*(?:#\s*include\b|#lang\b|<\?php|use\s|using\s|import\s+["\w]|from\s|package\s|require\b|"[\w./-]+"\s*$)/;
const keyOfHeader = (line: string) =>
  line
    .trim()
    .replace(/^import\s+(?=")/, '')
    .replace(/^package\s.*/, 'package');

/** The definition and what follows it; what closes it is left to tests that begin with that. */
function ending(lines: readonly string[], language: LanguageId, stop: readonly string[]): string {
  const text = lines.filter((line) => language !== 'php' || line.trim() !== '?>').join('\n');
  const end = stop.includes('\n}') ? text.indexOf('\n}') : -1;
  return end < 0 ? text : text.slice(0, end);
}

/**
 * One line for people where most answers do not compile and hold fenced blocks, whose code `fenced` would
 * have judged; else null.
 */
export function fencedHint(rows: readonly SampleRow[], truncation: string): string | null {
  const judged = rows.filter(({ verdict }) => verdict !== 'missing');
  const fenced = judged.filter(
    ({ verdict, completion = '' }) => verdict === 'compile_error' && fencedBlocks(completion).length > 0,
  );
  if (truncation === 'fenced' || 2 * fenced.length <= judged.length) return null;
  return (
    `${fenced.length} of ${judged.length} answers contain fenced code blocks and do not compile as they are: ` +
    '--truncate fenced judges the code in them'
  );
}
