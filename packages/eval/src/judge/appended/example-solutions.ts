import type { Language } from '../../language.ts';

/** Completions of two problems of MultiPL-E in each language. */
export const exampleSolutions: Readonly<Partial<Record<Language, Readonly<Record<string, string>>>>> = {
  java: {
    HumanEval_23_strlen: '        return string.length();',
    HumanEval_85_add: `        long sum = 0;
        for (int i = 1; i < lst.size(); i += 2) if (lst.get(i) % 2 == 0) sum += lst.get(i);
        return sum;`,
  },
  js: {
    HumanEval_23_strlen: `  return string.length;
}`,
    HumanEval_85_add: `  return lst.reduce((sum, x, i) => (i % 2 && x % 2 === 0 ? sum + x : sum), 0);
}`,
  },
  ts: {
    HumanEval_23_strlen: `  return string.length;
}`,
    HumanEval_85_add: `  return lst.reduce((sum, x, i) => (i % 2 && x % 2 === 0 ? sum + x : sum), 0);
}`,
  },
  cpp: {
    HumanEval_23_strlen: '    return string.size();',
    HumanEval_85_add: `    long sum = 0;
    for (size_t i = 1; i < lst.size(); i += 2) if (lst[i] % 2 == 0) sum += lst[i];
    return sum;`,
  },
  rs: {
    HumanEval_23_strlen: '    string.chars().count() as isize',
    HumanEval_85_add: '    lst.iter().skip(1).step_by(2).filter(|x| *x % 2 == 0).sum()',
  },
  go: {
    HumanEval_23_strlen: `    return len(myString)
}`,
    HumanEval_85_add: `    sum := 0
    for i := 1; i < len(lst); i += 2 {
        if lst[i]%2 == 0 { sum += lst[i] }
    }
    return sum
}`,
  },
  pl: {
    HumanEval_23_strlen: `    return length($string);
}`,
    HumanEval_85_add: `    my $sum = 0;
    for (my $i = 1; $i < @$lst; $i += 2) { $sum += $lst->[$i] unless $lst->[$i] % 2; }
    return $sum;
}`,
  },
  rb: {
    HumanEval_23_strlen: `  string.length
end`,
    HumanEval_85_add: `  lst.each_with_index.sum { |x, i| i.odd? && x.even? ? x : 0 }
end`,
  },
  php: {
    HumanEval_53_add: `    return $x + $y;
}`,
    HumanEval_85_add: `    $sum = 0;
    foreach ($lst as $i => $x) if ($i % 2 && $x % 2 == 0) $sum += $x;
    return $sum;
}`,
  },
  lua: {
    HumanEval_23_strlen: `    return #string
end`,
    HumanEval_85_add: `    local sum = 0
    for i = 2, #lst, 2 do if lst[i] % 2 == 0 then sum = sum + lst[i] end end
    return sum
end`,
  },
  sh: {
    HumanEval_23_strlen: '    printf %s "$1" | wc -m',
    HumanEval_85_add: `    local sum=0 i=0 x
    for x in $1; do (( i++ % 2 && x % 2 == 0 )) && (( sum += x )); done
    echo "$sum"`,
  },
  r: {
    HumanEval_23_strlen: `    nchar(string)
}`,
    HumanEval_85_add: `    x <- lst[seq_along(lst) %% 2 == 0]
    sum(x[x %% 2 == 0])
}`,
  },
  rkt: {
    HumanEval_23_strlen: '  (string-length string))',
    HumanEval_85_add: '  (for/sum ([x lst] [i (in-naturals)] #:when (and (odd? i) (even? x))) x))',
  },
};
