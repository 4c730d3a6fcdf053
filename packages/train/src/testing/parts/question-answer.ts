import { definePart } from '@flex/base';
import { type Format, has, type Row, text } from '@flex/datasets';
import { z } from 'zod';

interface QuestionRow extends Row {
  readonly question: string;
  readonly answer: string;
}

/** A stranger's format: `{q, a}`, the question behind a word of one's choice. */
export default definePart({
  name: 'question-answer',
  schema: z.strictObject({ askWith: z.string().default('Q: ') }),
  make: ({ askWith }): Format<QuestionRow> => ({
    name: 'question-answer',
    shape: '{q, a}',
    matches: (row) => has(row, 'q', 'a'),
    read: (row) => ({ id: null, question: text(row, 'q'), answer: text(row, 'a') }),
    completion: {
      template: { prompt: '{asked}\n', completion: '{answer}' },
      texts: ({ question, answer }) => ({ asked: askWith + question, answer }),
    },
  }),
});
