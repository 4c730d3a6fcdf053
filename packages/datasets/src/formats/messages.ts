import { DataError, show } from '@flex/base';
import type { Format, Row } from '../format.ts';
import { has, members, type RawRow, taskId } from '../row.ts';

/** A turn of a chat. */
export interface Message {
  /** `system`, `user`, `assistant`, or what else the model's template knows. */
  readonly role: string;
  readonly content: string;
}

/** A chat, of which the assistant's turns are to be learnt. */
export interface MessagesRow extends Row {
  readonly messages: readonly Message[];
}

/** `{messages: [{role, content}, …]}`, and whatever else: a chat, which the model's own template makes a text. */
export const messages: Format<MessagesRow> = {
  name: 'messages',
  shape: '{messages: [{role, content}]}',
  matches: (row) => has(row, 'messages'),
  read: (row) => ({ id: taskId(row), messages: messagesOf(row) }),
  passages({ messages }) {
    // What the system is told is the same in every chat.
    const turns = messages.filter(({ role }) => role !== 'system');
    const spoken = (by: readonly Message[]) => by.map(({ content }) => content);
    const last = turns.at(-1)?.role === 'assistant' ? turns.length - 1 : turns.length;
    return {
      prompts: [
        spoken(turns.slice(0, last)).join('\n'),
        ...spoken(turns.slice(0, last).filter(({ role }) => role !== 'assistant')),
      ],
      completions: spoken(turns.slice(last)),
    };
  },
};

function messagesOf({ value: { messages: given }, where }: RawRow): readonly Message[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw new DataError(`${where}: messages must be a list of {role, content}, got ${show(given)}`);
  }
  return given.map((turn, i) => {
    const { role, content, ...others } = members(turn, where, `messages[${i}]`);
    const stray = Object.keys(others).find((key) => others[key] != null);
    if (stray !== undefined)
      throw new DataError(`${where}: messages[${i}] has ${stray}, which is not learnt from`);
    for (const [key, value] of Object.entries({ role, content })) {
      if (typeof value === 'string') continue;
      throw new DataError(`${where}: messages[${i}].${key} must be a text, got ${show(value)}`);
    }
    return { role, content } as Message;
  });
}
