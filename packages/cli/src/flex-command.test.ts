import { expect, test } from 'vitest';
import { flexCommand } from './flex-command.ts';

// What an installed one says, scripts/packages.test.ts tests.
test('in the repository, commands are suggested as pnpm starts them', () => {
  expect(flexCommand('doctor')).toBe('pnpm flex doctor');
});
