import { collect } from '@flex/base/testing';
import { describeShared, shared } from '@flex/fixtures';
import { judge, type LanguageId, languages, toolchainOf } from '@flex/judge';
import { isLong, readExamples, withoutSandbox } from '@flex/judge/testing';
import { describe, expect, test } from 'vitest';
import type { Problem } from '../benchmark.ts';
import { openDefinition } from '../definitions.ts';
import { extractCode } from '../extract-code.ts';
import { openBenchmark } from './open-benchmark.ts';

const data = 'data/multipl-e';
const published = languages.filter(({ id }) => id !== 'py');

/** What closes the function, and the class around it, of a solution that leaves that to the tests. */
const closings: Partial<Record<LanguageId, readonly [string, string]>> = {
  cpp: ['\n}', ''],
  rs: ['\n}', ''],
  sh: ['\n}', ''],
  java: ['\n    }', '\n}'],
};
/** Code that an answer may show after its function, in the same block. */
const uses: Partial<Record<LanguageId, string>> = {
  cpp: '\n\nint main() {\n    return 0;\n}',
  rs: '\n\nfn main() {\n}',
  php: '\n?>',
};

/** A solution as answers in chat form give it. */
function answersOf({ prompt, language }: Problem, completion: string): Record<string, string> {
  const [end, classEnd] = closings[language] ?? ['', ''];
  const body = completion.trimEnd();
  const { line } = openDefinition(prompt.split('\n'), language)!;
  const signature = prompt.split('\n').slice(line).join('\n');
  const fenced = (code: string) => `Sure:\n\n\`\`\`${language}\n${code}\n\`\`\`\n\nIt works.`;
  return {
    'a whole file': fenced(`${prompt}${body}${end}${classEnd}${uses[language] ?? ''}`),
    'the function': fenced(`${signature}${body}${end}`),
    'its body': fenced(body),
    'what continues the prompt': fenced(`${body}${end}`),
  };
}

describeShared(data, "MultiPL-E's problems, answered in chat form", () => {
  for (const language of published) {
    const solutions = [...readExamples(language).solutions].slice(0, isLong ? 2 : 1);
    const isJudged = isLong || ['js', 'pl', 'sh'].includes(language.id);
    describe.skipIf(withoutSandbox || !isJudged)(`in ${language.name}`, async () => {
      const { missing } = await toolchainOf(language);
      test.skipIf(missing !== null).each(solutions)('%s passes', async (id, completion) => {
        const benchmark = await openBenchmark({ name: shared(`${data}/humaneval-${language.id}.jsonl`) });
        const problem = (await collect(benchmark.problems())).find((known) => known.id === id)!;
        for (const [form, text] of Object.entries(answersOf(problem, completion))) {
          const code = extractCode({ kind: 'completion', text }, problem);
          const { verdict, detail } = await judge(benchmark.program(problem, code));
          expect([form, verdict, detail]).toEqual([form, 'passed', '']);
        }
      });
    });
  }

  test.each(published)(
    'in $name each asks for a function that a whole file and a function define',
    async ({ id }) => {
      const benchmark = await openBenchmark({ name: shared(`${data}/humaneval-${id}.jsonl`) });
      for (const problem of await collect(benchmark.problems())) {
        const {
          'a whole file': file,
          'the function': alone,
          'its body': body,
        } = answersOf(problem, problem.empty);
        const kinds = [file, alone, body].map(
          (text) => extractCode({ kind: 'completion', text }, problem).kind,
        );
        expect([problem.id, ...kinds]).toEqual([problem.id, 'program', 'program', 'completion']);
      }
    },
  );
});
