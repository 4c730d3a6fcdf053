// The other side of harness.ts for peers in JavaScript: which cases it has, then an answer a request.
import { inThisProcess, serve } from '../../contestant.ts';

/** make(facts, name) gives what does a case `count` times, or null for a case it lacks. */
export async function servePeer(what, make) {
  const { cases, warm_ups, round_ms } = JSON.parse(process.argv.at(-1));
  const mine = [];
  for (const { name, facts } of cases) {
    const run = await make(facts, name);
    if (run) mine.push({ name, facts, run });
  }
  await serve(inThisProcess({ what, cases: mine, warmUps: warm_ups, roundMs: round_ms ?? undefined }));
  process.exit();
}

/** Numbers from −½ to ½. */
export const randoms = (shape) =>
  Float32Array.from(
    { length: shape.reduce((product, length) => product * length, 1) },
    () => Math.random() - 0.5,
  );
