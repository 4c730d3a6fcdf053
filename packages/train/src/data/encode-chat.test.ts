import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { type ChatMessage, openChatTemplate, openTokenizer } from '@flex/llama';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type EncodeOptions, encodeExample, isScored, UNSCORED } from './encode.ts';

const micro = join(import.meta.dirname, '../../../cli/assets/micro');

/** The bundled model's tokenizer with a chat template in a folder of its own. */
function withTemplate(template: string) {
  const folder = temporaryFolder();
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(micro, file), join(folder, file));
  writeFileSync(join(folder, 'chat_template.jinja'), template);
  const chat = openChatTemplate(folder);
  return { ...openTokenizer(folder), chatTemplate: () => chat };
}

/** ChatML, with the end-of-text token as the end of a turn; a template of Llama 2's kind; one of Zephyr's. */
const templates = {
  chatml: `{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}</s>
{% endfor %}
{% if add_generation_prompt %}<|assistant|>
{% endif %}`,
  llama: `{{ bos_token }}{% for m in messages %}
{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]
{%- elif m.role == 'assistant' %} {{ m.content | trim }} {{ eos_token }}
{%- else %}<<SYS>>{{ m.content }}<</SYS>>{% endif %}
{% endfor %}`,
  tagged: `{%- for m in messages %}
{{- '<|' + m.role + '|>' }}
{%- if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>{% endgeneration %}
{%- else %}{{ m.content + eos_token }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}`,
};
const usual: EncodeOptions = { maxLength: 4096, appendEos: true, lossOn: 'completion' };
const ask = (content: string): ChatMessage => ({ role: 'user', content });
const say = (content: string): ChatMessage => ({ role: 'assistant', content });

/** Encodes chats by a template, and gives the texts of the runs of scored tokens. */
function encoder(template: string) {
  const tokenizer = withTemplate(template);
  const encode = (messages: readonly ChatMessage[], options: Partial<EncodeOptions> = {}) =>
    encodeExample({ where: 'rows.jsonl:1', messages }, tokenizer, { ...usual, ...options });
  const scored = (labels: Int32Array): string[] => {
    const runs: number[][] = [];
    labels.forEach((label, i) => {
      if (label === UNSCORED) return;
      if (i === 0 || labels[i - 1] === UNSCORED) runs.push([]);
      runs.at(-1)!.push(label);
    });
    return runs.map((ids) => tokenizer.decode(ids, { skipSpecial: false, continuation: true }));
  };

  return { tokenizer, encode, scored };
}

describe.each(Object.entries(templates))('a chat by the template %s', (_, template) => {
  const word = fc.stringMatching(/^[A-Za-z0-9é🌍(]([A-Za-z0-9é🌍 (){}\n]{0,20}[A-Za-z0-9é🌍)])?$/u);
  const turns = fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 4 });

  test('scores the texts of the assistant, each with its end marker, and no other token', () => {
    const { tokenizer, encode, scored } = encoder(template);
    fc.assert(
      fc.property(turns, fc.option(word), (pairs, system) => {
        const messages = [
          ...(system === null ? [] : [{ role: 'system', content: system }]),
          ...pairs.flatMap(([question, answer]) => [ask(question), say(answer)]),
        ];
        const { input_ids, labels } = encode(messages);
        expect(scored(labels).map((text) => text.trimStart().replace(/ (?=<\/s>$)/, ''))).toEqual(
          pairs.map(([, answer]) => `${answer}</s>`),
        );
        expect(labels.every((label, i) => label === UNSCORED || label === input_ids[i])).toBe(true);
        const text = tokenizer.chatTemplate().render(messages);
        expect([...input_ids]).toEqual(tokenizer.encode(text, { bos: false }));
      }),
      { numRuns: 60 },
    );
  });

  test('scores every token but the first with lossOn: all, and is cut and counted as cut', () => {
    const { encode, scored } = encoder(template);
    const messages = [ask('What?'), say('That.')];
    const { input_ids, labels, wholeLength } = encode(messages, { lossOn: 'all' });
    expect(wholeLength).toBe(input_ids.length);
    expect([...labels]).toEqual([UNSCORED, ...input_ids.slice(1)]);
    const short = encode(messages, { maxLength: input_ids.length - 2 });
    expect([short.input_ids.length, short.wholeLength]).toEqual([wholeLength - 2, wholeLength]);
    expect(scored(short.labels)).toHaveLength(1);
  });

  test('of nobody but the user is nothing to learn', () => {
    expect(isScored(encoder(template).encode([ask('Hello?')]))).toBe(false);
  });
});

describe('a template is refused by its file where', () => {
  const encode = (template: string, messages: readonly ChatMessage[]) => () =>
    encodeExample({ where: 'rows.jsonl:7', messages }, withTemplate(template), usual);
  const chat = [ask('a'), say('b'), ask('c'), say('d')];

  test('it writes the first messages otherwise once there are more', () => {
    const text = "{{ m.content if loop.last or m.role == 'user' else '…' }}";
    const forgetful = `{% for m in messages %}${text}{% endfor %}`;
    expect(encode(forgetful, chat)).toThrow(DataError);
    expect(encode(forgetful, chat)).toThrow(
      /^rows.jsonl:7: the model's chat template writes the first 2 messages otherwise than .* of all 4,/,
    );
    expect(encode(forgetful, chat.slice(0, 2))).not.toThrow();
  });

  test('it refuses the messages', () => {
    const strict = `{% if messages[0].role != 'system' %}{{ raise_exception('begin with\nsystem') }}{% endif %}`;
    expect(encode(strict, chat)).toThrow(
      /^rows.jsonl:7: .*chat_template.jinja: cannot write 4 messages: begin with system$/,
    );
  });

  test('it is no template, or there is none', () => {
    expect(() => withTemplate('{% for %}')).toThrow(
      /chat_template.jinja: is not a template that can be read: /,
    );
    expect(() => openChatTemplate(micro)).toThrow(
      `${micro}: has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)`,
    );
  });
});

test('a template is read from the configuration too, its default of several, and knows no date', () => {
  const folder = temporaryFolder();
  const render = (chat_template: unknown) => {
    const config = { chat_template, eos_token: { content: '</s>' } };
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
    return openChatTemplate(folder).render([say('x')]);
  };
  expect(render('{{ messages[0].content }}{{ eos_token }}')).toBe('x</s>');
  expect(
    render([
      { name: 'tool_use', template: 'no' },
      { name: 'default', template: 'yes' },
    ]),
  ).toBe('yes');
  expect(render("{{ strftime_now('%Y') if strftime_now is defined else '2024' }}")).toBe('2024');
  expect(() => render([{ name: 'tool_use', template: 'no' }])).toThrow(/has no chat template/);
});
