const folder = String.raw`[^\s/\\'"\x60,;()<>|]+`;
const posix = new RegExp(String.raw`(?<![\w.…/~*-])~?(?:/${folder}){2,}/?`, 'gu');
const windows = new RegExp(String.raw`(?<!\w)[A-Za-z]:\\(?:${folder}\\)*${folder}`, 'gu');
const address = /\b(?!https?:)([a-z][a-z+.-]*):\/\/[^\s'"]+/giu;

/**
 * A text as it may be published: an absolute path is `…/` and its last two parts, and the address of a server
 * its scheme alone. A path with spaces is known by a text that is nothing else.
 */
export function publicText(text: string): string {
  if (
    /^(~?\/|[A-Za-z]:\\)/.test(text) &&
    !text.includes('\n') &&
    /^\S+$|^[^=]*$/.test(text) &&
    isPath(text)
  ) {
    return shortened(text);
  }
  return text.replace(address, '$1://…').replace(posix, shortened).replace(windows, shortened);
}

/** Whether a whole text is one path: one that a second path or an option begins in is a command. */
const isPath = (text: string) => !/\s[-~/]|\s\w+=/.test(text) && /[/\\].*[/\\]/.test(text);

function shortened(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== '');
  return `…/${parts.slice(parts.length > 2 ? -2 : -1).join('/')}`;
}
