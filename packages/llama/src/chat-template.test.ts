import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ChatMessage, openChatTemplate } from './chat-template.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-chat-template-'));
afterAll(() => rmSync(root, { recursive: true }));
let made = 0;

function rendered(template: unknown, messages: readonly ChatMessage[], ask = false): string {
  const dir = join(root, `chat-${made++}`);
  mkdirSync(dir);
  const config = { chat_template: template, bos_token: '<s>', eos_token: { content: '</s>' } };
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  return openChatTemplate(dir).render(messages, { ask });
}

const chat = [
  { role: 'system', content: '' },
  { role: 'user', content: '\n  Hi \n' },
  { role: 'assistant', content: "it's {{ x }} é漢😀" },
];

// The texts are what transformers 5.18's render_jinja_template gives.
describe('a chat template', () => {
  it.each<[string, string, string]>([
    [
      "{% for m in messages %}{{ m.content.lstrip('\\n') }}|{% endfor %}",
      "|  Hi \n|it's {{ x }} é漢😀|",
      'lstrip',
    ],
    [
      "{% for m in messages %}{{ m.content.rstrip(' \\n') }}|{% endfor %}",
      "|\n  Hi|it's {{ x }} é漢😀|",
      'rstrip',
    ],
    ["{{ 'abcab'.strip('ba') }}{{ ' a '.strip() }}{{ 'aa'.strip('a') }}", 'ca', 'strip'],
    ["{{ 'x' if messages[0].content != false else 'y' }}", 'x', 'an empty text is not false'],
    [
      "{{ 'x' if messages[0].content == none or 0 == '' else 'y' }}{{ 'z' if 1 == true }}",
      'yz',
      'nor is it nothing',
    ],
    ["{{ 'x' if tools is defined and tools is none and not documents else 'y' }}", 'x', 'no tools'],
    [
      "  {% for m in messages %}\n  {% if m.role == 'user' %}\n U\n  {% endif %}\n{% endfor %}\nend\n\n",
      ' U\nend\n',
      'blocks',
    ],
    [
      '{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}',
      'user',
      'loops',
    ],
    ['{{ messages[2] | tojson }}', '{"role": "assistant", "content": "it\'s {{ x }} é漢😀"}', 'JSON'],
    ["{{ bos_token + 'a' + eos_token }}{{ 'b' if add_generation_prompt }}", '<s>a</s>', 'the special tokens'],
    ['{{ strftime_now is defined }}', 'false', 'no date'],
  ])('%j gives %j: %s', (template, text) => {
    expect(rendered(template, chat)).toBe(text);
  });

  it('of several is the one named default', () => {
    const several = [
      { name: 'tool_use', template: 'no' },
      { name: 'default', template: '{{ messages | length }}{% if add_generation_prompt %}?{% endif %}' },
    ];
    expect(rendered(several, chat, true)).toBe('3?');
    expect(() => rendered(several.slice(0, 1), chat)).toThrow(/has no chat template/);
  });

  it('that refuses its messages, or cannot be read, says why in one line', () => {
    expect(() => rendered("{{ raise_exception('roles\\nmust alternate') }}", chat)).toThrow(
      /cannot write 3 messages: roles.*must alternate$/,
    );
    expect(() => rendered('{% for %}', chat)).toThrow(
      /tokenizer_config.json: is not a template that can be read: /,
    );
  });
});
