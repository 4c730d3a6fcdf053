import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** The connections of a server, of which there are no more than may be. */
export interface Connections {
  /**
   * Takes a connection. Where that is one too many, the oldest is ended on which nothing whole is asked: the
   * new one where all others wait for answers.
   */
  add(socket: Socket): void;
  /** A request has begun on a connection. Gives what is to be called once it has its answer or needs none. */
  begin(request: IncomingMessage): () => void;
}

/** No connections yet. */
export function newConnections(most: number): Connections {
  /** Requests that are not answered, by their connections, the oldest first. */
  const asked = new Map<Socket, Set<IncomingMessage>>();
  const isIdle = (requests: ReadonlySet<IncomingMessage>) => [...requests].every(({ complete }) => !complete);
  return {
    add(socket) {
      asked.set(socket, new Set());
      socket.once('close', () => asked.delete(socket));
      if (asked.size <= most) return;
      const [ended] = [...asked].find(([, requests]) => isIdle(requests))!;
      asked.delete(ended);
      ended.destroy();
    },
    begin(request) {
      asked.get(request.socket)?.add(request);
      return () => asked.get(request.socket)?.delete(request);
    },
  };
}
