import { existsSync, readFileSync } from 'node:fs';
import { describeShared, shared } from '@flex/fixtures';
import { afterAll, expect, test } from 'vitest';
import type { Finding } from '../verdict.ts';
import { openJavaJudge } from './java-judge.ts';
import { closeJavaUnit, javaTester } from './java-stub.ts';
import { javaSandbox, testLimits } from './testing.ts';

const machine = await javaSandbox();
const javaTest = test.skipIf(machine === null || !existsSync('/usr/share/java/javatuples.jar'));

function rowsOf<Row>(file: string): Row[] {
  const lines = readFileSync(shared(`data/${file}`), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line));
}

/** Our own solutions of problems whose values are tuples, optionals, maps or lists of those. */
const solutions: Readonly<Record<string, string>> = {
  HumanEval_23_strlen: 'return string.length();',
  HumanEval_12_longest:
    'return strings.stream().max((a, b) -> a.length() < b.length() ? -1 : a.length() - b.length());',
  HumanEval_20_find_closest_elements: `Collections.sort(numbers);
    int best = 1;
    for (int i = 2; i < numbers.size(); i++) {
      if (numbers.get(i) - numbers.get(i - 1) < numbers.get(best) - numbers.get(best - 1)) best = i;
    }
    return Pair.with(numbers.get(best - 1), numbers.get(best));`,
  HumanEval_87_get_row: `ArrayList<Pair<Long, Long>> found = new ArrayList<>();
    for (int i = 0; i < lst.size(); i++) {
      for (int j = lst.get(i).size() - 1; j >= 0; j--) {
        if (lst.get(i).get(j) == x) found.add(Pair.with((long) i, (long) j));
      }
    }
    return found;`,
  HumanEval_90_next_smallest: 'return lst.stream().distinct().sorted().skip(1).findFirst();',
  HumanEval_111_histogram: `HashMap<String, Long> counts = new HashMap<>();
    for (String letter : test.split(" ")) if (!letter.isEmpty()) counts.merge(letter, 1L, Long::sum);
    long most = counts.values().stream().max(Long::compare).orElse(0L);
    counts.values().removeIf(count -> count < most);
    return counts;`,
  HumanEval_112_reverse_delete: `String left = s.chars().filter(x -> c.indexOf(x) < 0)
        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append).toString();
    return Pair.with(left, new StringBuilder(left).reverse().toString().equals(left));`,
  HumanEval_162_string_to_md5: `if (text.isEmpty()) return Optional.empty();
    try {
      byte[] digest = MessageDigest.getInstance("MD5").digest(text.getBytes());
      return Optional.of(String.format("%032x", new BigInteger(1, digest)));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }`,
};

describeShared('data', 'the benchmarks in Java', () => {
  const judge = openJavaJudge({ sandbox: machine!, lane: 0 });
  afterAll(() => judge.close());

  function multiplE(name: string, completion: string): Promise<Finding> {
    const rows = rowsOf<{ name: string; prompt: string; tests: string }>('multipl-e/humaneval-java.jsonl');
    const { prompt, tests } = rows.find((row) => row.name === name)!;
    const tester = javaTester({ prompt, tests });
    const whole = `${prompt}${completion}\n${tests}`;
    const source = closeJavaUnit(prompt + completion);
    return judge.judge(
      { language: 'java', source, tests: { kind: 'java-calls', tester, mainClass: 'Problem', whole } },
      testLimits,
    );
  }

  javaTest.each(Object.keys(solutions))(
    'MultiPL-E: a solution of %s passes, and one that throws fails',
    async (name) => {
      expect(await multiplE(name, solutions[name])).toMatchObject({ detail: '', verdict: 'passed' });
      const detail = 'java.lang.UnsupportedOperationException';
      expect(await multiplE(name, 'throw new UnsupportedOperationException();')).toMatchObject({
        ...{ verdict: 'failed', failure: 'exception', detail },
      });
    },
  );

  /** Canonical solutions that do not compile, call System.exit(0) or compare strings by identity. */
  const special: Readonly<Record<string, string>> = {
    'MBJP/39': 'passed',
    'MBJP/106': 'exited',
    'MBJP/180': 'compile',
    'MBJP/321': 'passed',
    'MBJP/325': 'exited',
  };

  javaTest(
    "MBXP: its publisher's solutions pass, but those that do not compile or end the program",
    async () => {
      const rows = rowsOf<{ task_id: string; prompt: string; canonical_solution?: string; test: string }>(
        'mbjp.jsonl',
      );
      const solved = rows.filter(({ canonical_solution }) => canonical_solution);
      const chosen = solved.filter(({ task_id }, i) => i % 25 === 1 || task_id in special);
      expect(chosen).toHaveLength(39);
      for (const { task_id, prompt, canonical_solution, test: main } of chosen) {
        const source = closeJavaUnit(prompt + canonical_solution);
        const tester = javaTester({ prompt, tests: `    }\n}\n${main}` });
        const whole = prompt + canonical_solution + main;
        const { failure, verdict } = await judge.judge(
          { language: 'java', source, tests: { kind: 'java-calls', tester, mainClass: 'Main', whole } },
          testLimits,
        );
        expect([task_id, failure ?? verdict]).toEqual([task_id, special[task_id] ?? 'passed']);
      }
    },
  );
});
