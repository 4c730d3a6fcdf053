import { setImmediate as turn } from 'node:timers/promises';

/** When a decoder that stands beside a server goes on. */
export interface Turns {
  /** To be told of each connection. */
  onConnection(): void;
  /** Between two steps of the decoder: until no connection waits. */
  pause(): Promise<void>;
}

/** Turns of one pause at most, so that no flood of connections ends the decoding. */
const mostTurns = 64;

/**
 * Turns for a decoder and its server. The program accepts one connection a turn (libuv), and steps of a
 * decoder are long: with one turn each, connections would come faster than they are accepted.
 */
export function newTurns(): Turns {
  let arrived = 0;
  return {
    onConnection() {
      arrived++;
    },
    async pause() {
      let before = -1;
      for (let i = 0; i < mostTurns && before !== arrived; i++) {
        before = arrived;
        await turn();
      }
    },
  };
}
