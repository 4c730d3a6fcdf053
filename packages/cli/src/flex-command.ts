import { environment } from './environment.ts';

/** What a command is typed after: this file is TypeScript in the repository alone. */
const flex = import.meta.url.endsWith('.ts') ? 'pnpm flex' : environment.isNpx ? 'npx flex' : 'flex';

/** A command as it is typed where this one was: `pnpm flex …` in the repository, else `npx flex …` or `flex …`. */
export const flexCommand = (args: string): string => `${flex} ${args}`;
