import { ConfigError } from '@flex/base';
import { describe, expect, it } from 'vitest';
import { pythonPattern } from './python-pattern.ts';

const texts = ['a', 'b', 'ab', 'a.b', 'a-b', '[a', 'a]', '{', '{}', '^', 'x.a', 'aa'];
const matched = (source: string, extent: 'match' | 'fullmatch') => {
  const pattern = pythonPattern(source, extent);
  return texts.filter((text) => pattern.test(text));
};

describe('a pattern of Python', () => {
  // What re.fullmatch of Python 3.11 accepts among the texts.
  it.each<[string, string[]]>([
    [String.raw`\Aa\Z`, ['a']],
    [String.raw`.?\Aa`, ['a']],
    ['(?P<first>a)(?#a comment)b?', ['a', 'ab']],
    ['a{,2}', ['a', 'aa']],
    ['a{,}', ['a', 'aa']],
    ['[]a]', ['a']],
    ['[^]a]', ['b', '{', '^']],
    ['[[]a', ['[a']],
    ['a]', ['a]']],
    ['{', ['{']],
    ['{}', ['{}']],
    [String.raw`a[\-.]b`, ['a.b', 'a-b']],
    [String.raw`a\-b`, ['a-b']],
    [String.raw`[\^]`, ['^']],
    [String.raw`(?:.*\.)?(a|b)`, ['a', 'b', 'a.b', 'x.a']],
    [String.raw`\w\.(?!b)\w`, ['x.a']],
    [String.raw`(?<!x\.)\w.*?`, ['a', 'b', 'ab', 'a.b', 'a-b', 'a]', 'x.a', 'aa']],
  ])('%s matches whole what Python matches', (source, expected) => {
    expect(matched(source, 'fullmatch')).toEqual(expected);
  });

  it('matches from the beginning, whatever its alternatives', () => {
    expect(matched('b|a$', 'match')).toEqual(['a', 'b']);
    expect(matched(String.raw`a\Z`, 'match')).toEqual(['a']);
    expect(matched('a', 'match')).toEqual(['a', 'ab', 'a.b', 'a-b', 'a]', 'aa']);
  });

  it.each([
    ['a*+', '"*+" is a possessive repeat'],
    ['a{1,2}+', '"{1,2}+" is a possessive repeat'],
    ['(?>a)', '"(?>" is an atomic group'],
    ['(?i)a', '"(?i" is an inline flag'],
    ['(?-s:a)', '"(?-s" is an inline flag'],
    [String.raw`(a)\1`, '"\\1" is a reference to a group'],
    ['(?P<x>a)(?P=x)', '"(?P=" is a reference to a group'],
    ['(a)?(?(1)b|a)', '"(?(" is a condition'],
    [String.raw`\x61`, '"\\x" is an escape'],
    [String.raw`[\b]`, '"\\b" is an escape'],
    ['(?<x>a)', '"(?<" is a part'],
    ['([', '"[" is a part'],
    ['(a', 'Unterminated group'],
    ['a**', 'Nothing to repeat'],
  ])('%s is refused by name', (source, message) => {
    expect(() => pythonPattern(source, 'match')).toThrow(ConfigError);
    expect(() => pythonPattern(source, 'match')).toThrow(message);
  });
});
