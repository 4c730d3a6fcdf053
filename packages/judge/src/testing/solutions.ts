import { readFileSync } from 'node:fs';

/** A right completion of a MultiPL-E problem, and a small change that makes it wrong. */
export interface Solution {
  /** The problem's name. */
  readonly name: string;
  readonly text: string;
  readonly sabotaged: string;
}

/**
 * The solutions in a file of `fixtures/solutions`: sections of a line `===== NAME`, the completion, and a line
 * `===== FROM -> TO`, the change. Throws where FROM is not in the completion.
 */
export function readSolutions(file: string): Solution[] {
  const text = readFileSync(new URL(`../../fixtures/solutions/${file}`, import.meta.url), 'utf8');
  const sections = text.split(/^===== /m).slice(1);
  return sections.flatMap((section, i) => {
    if (i % 2 === 1) return [];
    const [name] = section.split('\n', 1);
    const right = section.slice(name.length + 1);
    const [from, to] = sections[i + 1].replace(/\n$/, '').split(' -> ');
    const sabotaged = right.replace(from, () => to);
    if (sabotaged === right) throw new Error(`${file}: ${name}: there is no ${from}`);
    return [{ name, text: right, sabotaged }];
  });
}
