import { join } from 'node:path';
import { codeOf } from '@flex/base';

/** `flex 0.1.0, commit 7278e7a…, modified; Node 20.20.2`; without a commit where this is no checkout. */
export function versionLine(): string {
  const { commit, versions } = codeOf(join(import.meta.dirname, '..'));
  const checkout = commit ? `, commit ${commit.hash}${commit.modified ? ', modified' : ''}` : '';
  return `flex ${versions.flex}${checkout}; Node ${versions.node}`;
}
