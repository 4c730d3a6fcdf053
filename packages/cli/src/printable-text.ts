import { printable } from '@flex/base';

/** A text of several lines with nothing in it that could steer a terminal. */
export function printableText(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
