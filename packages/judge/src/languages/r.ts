import { defineLanguage, unparsableCode } from '../language.ts';
import { atEnd } from '../seal.ts';

/** Reads a whole program from standard input, leaving nothing there, and runs it as the main program. */
const driver = `local({
  input <- file("stdin")
  text <- readLines(input, warn = FALSE, encoding = "UTF-8")
  close(input)
  program <- tryCatch(parse(text = text, keep.source = FALSE, encoding = "UTF-8"), error = function(e) {
    message(conditionMessage(e))
    quit(status = ${unparsableCode})
  })
  rm(text)
  for (expression in program) eval(expression, globalenv())
})
`;

export const r = defineLanguage({
  id: 'r',
  name: 'R',
  packages: 'r-base-core',
  programs: ['Rscript'],
  reads: ['/etc/R', '/usr/lib/R', '/usr/lib/libR*.so', '/usr/share/R'],
  version: () => `Rscript -e 'cat(R.version$major, R.version$minor, sep = ".")'`,
  empty: '}\n',
  seal: atEnd((nonce) => `base::cat("\\n${nonce}\\n")`),
  sealed: () => ({
    command: ['/usr/bin/env', 'Rscript', '/flex/driver.R'],
    files: { '/flex/driver.R': driver },
  }),
  plain: {
    path: '/flex/program.R',
    command: ['/usr/bin/env', 'Rscript', '/flex/program.R'],
    unparsable: /^Error: unexpected (?:end of input$|[^"\n]{1,60} in(?: "|:$))/m,
  },
  signs: {
    unparsable: unparsableCode,
    assertion: /\b(?:is|are) not (?:all )?TRUE\b/,
    line: /^Error\b.*(?:\n(?!Calls|Execution).*)?|^<text>:.*$/m,
  },
  examples: new URL('../../fixtures/languages/r.txt', import.meta.url),
});
