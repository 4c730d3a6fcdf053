import { defineLanguage } from '../language.ts';

/** How tests of LuaUnit end: with the program. */
const exit = /os\.exit\(\s*lu\.LuaUnit\.run\(\)\s*\)\s*$/;

export const lua = defineLanguage({
  id: 'lua',
  name: 'Lua',
  packages: 'lua5.4 lua-unit',
  programs: ['lua5.4'],
  reads: ['/usr/share/lua/5.4/luaunit*'],
  version: () => `lua5.4 -v && lua5.4 -e 'print("luaunit " .. require("luaunit").VERSION)'`,
  empty: 'end\n',
  seal({ source, code }, nonce) {
    const print = `io.stdout:write("\\n${nonce}\\n")`;
    const text = source + code;
    if (!exit.test(text)) return `${text}\n${print}\n`;
    const run = 'local flex_failed = lu.LuaUnit.run()';
    return text.replace(exit, () => `${run} if flex_failed == 0 then ${print} end os.exit(flex_failed)\n`);
  },
  sealed: () => ({ command: ['/usr/bin/env', 'lua5.4', '-'] }),
  plain: { path: '/flex/program.lua', command: ['/usr/bin/env', 'lua5.4', '/flex/program.lua'] },
  signs: {
    unparsable: /^lua\S*: \S+:\d+: .* near /m,
    assertion: /, [1-9]\d* failures?/,
    line: /^(?:stdin:\d+: |lua\S*: ).*(?:\n(?!stack).*)?/m,
  },
  examples: new URL('../../fixtures/languages/lua.txt', import.meta.url),
});
