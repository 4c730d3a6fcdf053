import type { Language } from '../../language.ts';

/** Completions of two problems of MultiPL-E in each language: a length or a sum, and a sum of some elements. */
export const exampleSolutions: Readonly<Partial<Record<Language, Readonly<Record<string, string>>>>> = {
  java: {
    HumanEval_23_strlen: '        return string.length();',
    HumanEval_85_add:
      '        long sum = 0;\n        for (int i = 1; i < lst.size(); i += 2) if (lst.get(i) % 2 == 0) sum += lst.get(i);\n        return sum;',
  },
  js: {
    HumanEval_23_strlen: '  return string.length;\n}',
    HumanEval_85_add: '  return lst.reduce((sum, x, i) => (i % 2 && x % 2 === 0 ? sum + x : sum), 0);\n}',
  },
  ts: {
    HumanEval_23_strlen: '  return string.length;\n}',
    HumanEval_85_add: '  return lst.reduce((sum, x, i) => (i % 2 && x % 2 === 0 ? sum + x : sum), 0);\n}',
  },
  cpp: {
    HumanEval_23_strlen: '    return string.size();',
    HumanEval_85_add:
      '    long sum = 0;\n    for (size_t i = 1; i < lst.size(); i += 2) if (lst[i] % 2 == 0) sum += lst[i];\n    return sum;',
  },
  rs: {
    HumanEval_23_strlen: '    string.chars().count() as isize',
    HumanEval_85_add: '    lst.iter().skip(1).step_by(2).filter(|x| *x % 2 == 0).sum()',
  },
  go: {
    HumanEval_23_strlen: '    return len(myString)\n}',
    HumanEval_85_add:
      '    sum := 0\n    for i := 1; i < len(lst); i += 2 {\n        if lst[i]%2 == 0 { sum += lst[i] }\n    }\n    return sum\n}',
  },
  pl: {
    HumanEval_23_strlen: '    return length($string);\n}',
    HumanEval_85_add:
      '    my $sum = 0;\n    for (my $i = 1; $i < @$lst; $i += 2) { $sum += $lst->[$i] unless $lst->[$i] % 2; }\n    return $sum;\n}',
  },
  rb: {
    HumanEval_23_strlen: '  string.length\nend',
    HumanEval_85_add: '  lst.each_with_index.sum { |x, i| i.odd? && x.even? ? x : 0 }\nend',
  },
  php: {
    HumanEval_53_add: '    return $x + $y;\n}',
    HumanEval_85_add:
      '    $sum = 0;\n    foreach ($lst as $i => $x) if ($i % 2 && $x % 2 == 0) $sum += $x;\n    return $sum;\n}',
  },
  lua: {
    HumanEval_23_strlen: '    return #string\nend',
    HumanEval_85_add:
      '    local sum = 0\n    for i = 2, #lst, 2 do if lst[i] % 2 == 0 then sum = sum + lst[i] end end\n    return sum\nend',
  },
  sh: {
    HumanEval_23_strlen: '    echo "${#1}"',
    HumanEval_85_add:
      '    local sum=0 i=0 x\n    for x in $1; do (( i++ % 2 && x % 2 == 0 )) && (( sum += x )); done\n    echo "$sum"',
  },
  r: {
    HumanEval_23_strlen: '    nchar(string)\n}',
    HumanEval_85_add: '    x <- lst[seq_along(lst) %% 2 == 0]\n    sum(x[x %% 2 == 0])\n}',
  },
  rkt: {
    HumanEval_23_strlen: '  (string-length string))',
    HumanEval_85_add: '  (for/sum ([x lst] [i (in-naturals)] #:when (and (odd? i) (even? x))) x))',
  },
};
