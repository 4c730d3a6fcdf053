import { DataError } from '@flex/base';

/** The method that a prompt ends in. */
export interface JavaSignature {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly isVoid: boolean;
}

/**
 * The source with the braces it leaves open closed at its end; a source that leaves none open comes back as
 * it is. Braces in comments, strings, text blocks and characters do not count, nor do those written as
 * Unicode escapes.
 */
export function closeJavaUnit(source: string): string {
  const open = openBraces(javaTokens(source)).length;
  return open === 0 ? source : `${source}\n${'}'.repeat(open)}\n`;
}

/**
 * The static method whose body is still open at the end of a prompt. Throws DataError, which says what is
 * wrong, where there is none.
 */
export function javaSignature(prompt: string): JavaSignature {
  const tokens = javaTokens(prompt);
  const at = openBraces(tokens).at(-1);
  const before = tokens.slice(0, at).findLastIndex((token) => ';{}'.includes(token));
  const header = at === undefined ? [] : tokens.slice(before + 1, at);
  const end = header.lastIndexOf(')');
  const start = openingOf(header, end);
  const name = header[start - 1];
  if (end < 0 || start < 1 || !isWord.test(name)) {
    throw new DataError('the prompt must end in the body of a method, and does not');
  }
  if (!header.slice(0, start).includes('static')) {
    throw new DataError(`the prompt ends in the method ${name}, which must be static, and is not`);
  }
  return {
    name,
    parameters: parameterNames(header.slice(start + 1, end)),
    isVoid: header[start - 2] === 'void',
  };
}

/**
 * A unit with the prompt's imports, helpers and all, in which the method that the prompt ends in hands its
 * calls to the candidate's process. `tests` is what follows the body of that method, from its closing brace
 * on. Throws DataError where the prompt does not end in a static method.
 */
export function javaTester({ prompt, tests }: { prompt: string; tests: string }): string {
  const { parameters, isVoid } = javaSignature(prompt);
  const call = `flexjudge.Remote.call(new Object[] {${parameters.join(', ')}});`;
  return `${prompt}\n${isVoid ? call : `return ${call}`}\n${tests}`;
}

const isWord = /^[\p{L}\p{N}_$]+$/u;

/** Of each parameter its name, which comes last but for the brackets of an array. */
function parameterNames(tokens: readonly string[]): string[] {
  const names: string[] = [];
  let depth = 0;
  let name = '';
  for (const token of [...tokens, ',']) {
    if ('<(['.includes(token)) depth++;
    else if ('>)]'.includes(token)) depth--;
    else if (depth > 0) continue;
    else if (token !== ',') name = isWord.test(token) ? token : name;
    else if (name !== '') names.push(name);
  }
  return names;
}

function openingOf(tokens: readonly string[], end: number): number {
  let depth = 0;
  for (let i = end; i >= 0; i--) {
    if (tokens[i] === ')') depth++;
    else if (tokens[i] === '(' && --depth === 0) return i;
  }
  return -1;
}

/** Where the braces stand that nothing closes. */
function openBraces(tokens: readonly string[]): number[] {
  const open: number[] = [];
  for (const [i, token] of tokens.entries()) {
    if (token === '{') open.push(i);
    else if (token === '}') open.pop();
  }
  return open;
}

/** Words, literals and single other characters, in order; without space and comments. */
function javaTokens(source: string): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < source.length; ) {
    const end = tokenEnd(source, at);
    const token = source.slice(at, end);
    if (token.trim() !== '' && !token.startsWith('//') && !token.startsWith('/*')) tokens.push(token);
    at = end;
  }
  return tokens;
}

function tokenEnd(source: string, at: number): number {
  if (source.startsWith('//', at)) return lineEnd(source, at);
  if (source.startsWith('/*', at)) return after(source, '*/', at + 2);
  if (source.startsWith('"""', at)) return textBlockEnd(source, at + 3);
  if (source[at] === '"' || source[at] === "'") return literalEnd(source, at);
  let end = at;
  while (end < source.length && isWord.test(source[end])) end++;
  return Math.max(end, at + 1);
}

function lineEnd(source: string, at: number): number {
  const length = source.slice(at).search(/[\n\r]/);
  return length < 0 ? source.length : at + length;
}

function after(source: string, text: string, from: number): number {
  const at = source.indexOf(text, from);
  return at < 0 ? source.length : at + text.length;
}

function textBlockEnd(source: string, from: number): number {
  let at = from;
  while (at < source.length && !source.startsWith('"""', at)) at += source[at] === '\\' ? 2 : 1;
  return Math.min(at + 3, source.length);
}

/** A string or character ends with its quote, or broken off with its line. */
function literalEnd(source: string, from: number): number {
  let at = from + 1;
  while (at < source.length && source[at] !== source[from]) {
    if (source[at] === '\n' || source[at] === '\r') return at;
    at += source[at] === '\\' ? 2 : 1;
  }
  return Math.min(at + 1, source.length);
}
