import type { PythonCalls } from '@flex/judge';

/**
 * What call-based solutions may take for granted, put before each: those of LeetCode are written without
 * imports. Like the list in APPS's own evaluation, with Optional and a few more, and without numpy.
 */
export const callPrelude = `import bisect, collections, fractions, functools, heapq, itertools, math, operator
import random, re, string, sys, time
from bisect import bisect, bisect_left, bisect_right, insort
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from functools import cmp_to_key, lru_cache, reduce
from heapq import heapify, heappop, heappush, heappushpop, heapreplace, merge, nlargest, nsmallest
from itertools import accumulate, chain, combinations, groupby, permutations, product
from math import ceil, cos, exp, fabs, floor, gcd, inf, log, log2, sin, sqrt, tan
from typing import Any, Dict, List, Optional, Set, Tuple
`;

/** Python that compares as APPS's own evaluation does; its names keep clear of those of the candidate. */
const setup = `import json as _json


def _plain(value):
    """The value with lists for tuples, at any depth: JSON has no tuples."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _numbered(value):
    """A dict whose keys are all whole numbers in quotes, with numbers for keys: JSON has no others."""
    if not isinstance(value, dict):
        return value
    try:
        return {int(key): item for key, item in value.items()}
    except ValueError:
        return value


def _expectations(expected):
    """What a result may equal: the expected value, or what alone is in the list around it."""
    expected = _numbered(expected)
    if isinstance(expected, list) and expected:
        return [expected, _numbered(expected[0])]
    return [expected]


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _cases(text):
    """Number, arguments and expectations of each case."""
    data = _json.loads(text)
    for number, (arguments, expected) in enumerate(zip(data["inputs"], data["outputs"])):
        yield number, [_numbered(argument) for argument in arguments], _expectations(expected)


def _check(number, arguments, result, expectations):
    if not any(_plain(result) == expected for expected in expectations):
        shown = ", ".join(_short(argument) for argument in arguments)
        message = f"case {number}: of ({shown}) came {_short(result)}, expected {_short(expectations[-1])}"
        raise AssertionError(message)
`;

/** `name`, or its method where the program has a class `Solution` and no function of that name. */
export function callTarget(source: string, name: string): string {
  const isFunction = new RegExp(`^(?:(?:async )?def ${name}\\b|${name} *=(?!=))`, 'm').test(source);
  return !isFunction && /^class Solution\b/m.test(source) ? `Solution.${name}` : name;
}

/** The candidate's program with the prelude before it, after its imports from `__future__` if it has any. */
export function withPrelude(source: string): string {
  const future = [...source.matchAll(/^from __future__ import (?:\([^)]{0,1000}\)|[^\n(]*)(?:\n|$)/gm)].at(
    -1,
  );
  if (!future) return callPrelude + source;
  const at = future.index + future[0].length;
  return `${source.slice(0, at).replace(/\n?$/, '\n')}${callPrelude}${source.slice(at)}`;
}

/**
 * The tests of a call-based APPS problem. A case passes if the result, with lists for tuples, equals the
 * expected value, or what is first in it where that is a list; dicts may have lost the numbers of their keys
 * to JSON.
 *
 * @param inputOutput the problem's `input_output` as JSON text, whose numbers Python reads at full precision.
 * @param target `name` or `Solution.name`, see callTarget.
 */
export function callTests(inputOutput: string, target: string): PythonCalls {
  const name = target.slice(target.lastIndexOf('.') + 1);
  const inProcess = `\n${setup}\n\n${loop(inputOutput, target.replace('.', '().'))}`;
  return { kind: 'python-calls', setup, code: loop(inputOutput, name), entryPoints: [target], inProcess };
}

function loop(inputOutput: string, callee: string): string {
  // A JSON string is also a string literal of Python: their escapes agree.
  const cases = `_cases(${JSON.stringify(inputOutput)})`;
  const check = `_check(_number, _arguments, ${callee}(*_arguments), _expected)`;
  return `for _number, _arguments, _expected in ${cases}:\n    ${check}\n`;
}
