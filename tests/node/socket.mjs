// A graphql-transport-ws client whose connection breaks, as networks do, after given numbers of events.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

// Apollo's GraphQLWsLink looks at the global one, which Node has from 22 on.
globalThis.WebSocket ??= WebSocket;

/** Milliseconds between a lost connection and the next; real programs wait longer each time. */
export const PAUSE = 50;

/**
 * `resume` says who connects again. "cursor": nobody here; subscriptions end with the connection, and `follow`
 * makes new ones. "replay": graphql-ws, which sends the first variables again, so that all since then is repeated.
 */
export function breakingSocket({ origin, cuts, resume }) {
  const toCome = [...cuts];
  let connection;
  const socket = {
    opened: 0,
    cutIfDue(events) {
      // What had arrived by then is still told after the cut.
      const isOpen = connection.readyState === WebSocket.OPEN;
      if (!isOpen || !(events >= toCome[0])) return;
      toCome.shift();
      connection.terminate();
    },
    client: createClient({
      url: `${origin.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: resume === "replay" ? 5 : 0,
      retryWait: () => new Promise((resolve) => setTimeout(resolve, PAUSE)),
      on: {
        connected(opened) {
          connection = opened;
          socket.opened += 1;
          socket.cutIfDue(0);
        },
      },
    }),
  };
  return socket;
}
