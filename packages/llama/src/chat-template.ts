import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError, oneLine, readWhole } from '@flex/base';
import type { Template } from '@huggingface/jinja';
import * as z from 'zod';
import { parseTemplate, pythonFunctions } from './parse-template.ts';
import { readJson } from './read-json.ts';

/** A turn of a chat. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** How a model writes a chat as one text. */
export interface ChatTemplate {
  /**
   * The text of the messages, special tokens written out; with `ask`, up to where the assistant's next turn
   * begins. Throws DataError where the template refuses them.
   */
  render(messages: readonly ChatMessage[], options?: { readonly ask?: boolean }): string;
}

const token = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const named = z.array(z.looseObject({ name: z.string(), template: z.string() }));
const configSchema = z.looseObject({
  chat_template: z.union([z.string(), named], 'must be a text, or a list of named ones').nullish(),
  bos_token: token,
  eos_token: token,
  unk_token: token,
  pad_token: token,
});

/**
 * The chat template of a Hugging Face model directory: `chat_template.jinja`, or `chat_template` of
 * tokenizer_config.json (the one named default of several), rendered as transformers does: blocks on lines of
 * their own leave none, the special tokens have their names, and there are no tools and no documents. The
 * date, which would make a run's data change from day to day, is not defined. Throws ConfigError where there
 * is none, and DataError for one that is malformed.
 */
export function openChatTemplate(dir: string): ChatTemplate {
  const configFile = join(dir, 'tokenizer_config.json');
  const ownFile = join(dir, 'chat_template.jinja');
  const config = existsSync(configFile) ? readJson(configFile, configSchema) : {};
  const { chat_template: given } = config;
  const inConfig =
    typeof given === 'string' ? given : given?.find(({ name }) => name === 'default')?.template;
  const [file, source] = existsSync(ownFile)
    ? [ownFile, readWhole(ownFile).toString()]
    : [configFile, inConfig];
  if (source === undefined) {
    throw new ConfigError(
      `${dir}: has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), ` +
        'which chats need',
    );
  }
  const template = parse(source, file);
  const tokens = Object.entries(config).flatMap(([key, value]) => {
    const text = typeof value === 'string' ? value : (value as { content?: unknown } | null)?.content;
    return key.endsWith('_token') && typeof text === 'string' ? [[key, text] as const] : [];
  });
  return {
    render(messages, { ask = false } = {}) {
      try {
        const given = { messages, tools: null, documents: null, add_generation_prompt: ask };
        return template.render({ ...pythonFunctions, ...Object.fromEntries(tokens), ...given });
      } catch (cause) {
        throw new DataError(`${file}: cannot write ${messages.length} messages: ${reason(cause)}`, { cause });
      }
    },
  };
}

// Its own line: else what the template's first line begins with would not begin it.
const undefinedDate = '{% set strftime_now = undefined %}\n';

function parse(source: string, file: string): Template {
  try {
    return parseTemplate(`${undefinedDate}${source}`);
  } catch (cause) {
    throw new DataError(`${file}: is not a template that can be read: ${reason(cause)}`, { cause });
  }
}

const reason = (error: unknown) => oneLine((error as Error).message);
