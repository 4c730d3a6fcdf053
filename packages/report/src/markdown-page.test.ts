import { expect, test } from 'vitest';
import { markdownPage } from './markdown-page.ts';
import { chartsOf } from './report.ts';

test('what the marks of charts mean stands beneath them, once where they mean the same', () => {
  const chart = { title: 'Loss', description: 'nats by updates', spec: {} };
  const charts = [
    { ...chart, name: 'a', caption: 'dot: mean' },
    { ...chart, name: 'b', caption: 'dot: mean' },
    { ...chart, name: 'c', caption: '' },
  ];
  const report = {
    title: 't',
    summary: [],
    sections: [{ title: 's', blocks: chartsOf(charts) }],
    footer: 'f',
  };
  expect(markdownPage(report, ({ name }) => `${name}.svg`)).toContain(
    [
      ...['a', 'b', 'c'].map((name) => `![Loss: nats by updates](${name}.svg)`),
      '',
      '*dot: mean*',
      '',
      '---',
    ].join('\n'),
  );
});
