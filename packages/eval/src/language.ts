/** Languages by MultiPL-E's short names. */
export const languages = [
  'py',
  'java',
  'js',
  'ts',
  'cpp',
  'rs',
  'pl',
  'rb',
  'php',
  'lua',
  'sh',
  'r',
  'go',
  'rkt',
] as const;
export type Language = (typeof languages)[number];
