import { ConfigError, nearestName } from '@flex/base';

/** How a row becomes text: `{field}` stands for that field of the row, `{{` and `}}` for braces. */
export interface Template {
  readonly prompt: string;
  readonly completion: string;
}

/**
 * The template with every `{field}` replaced. Throws ConfigError for a field that the row lacks and for a
 * brace on its own. `where` is the row's file and line.
 */
export function fill(template: string, texts: ReadonlyMap<string, string>, where: string): string {
  return template.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (match, name?: string) => {
    if (match === '{{' || match === '}}') return match[0];
    const value = name === undefined ? undefined : texts.get(name);
    if (value !== undefined) return value;
    if (name === undefined)
      throw new ConfigError(`template: write {{ or }} for a brace, in ${JSON.stringify(template)}`);
    const near = nearestName(name, [...texts.keys()]);
    const hint = near ? `did you mean {${near}}?` : `it has ${[...texts.keys()].join(', ')}`;
    throw new ConfigError(`template: {${name}} is not a text of ${where}; ${hint}`);
  });
}
