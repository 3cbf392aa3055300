/** Queries and mutations by POST, subscriptions over graphql-transport-ws, both to the page's own address. */

import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';

const HTTP = `${location.origin}/graphql`;
const WEBSOCKET = HTTP.replace(/^http/, 'ws');

/** A connection that says nothing for this long, in milliseconds, is asked whether it still lives. */
const KEEP_ALIVE = 10_000;

export const fetcher: Fetcher = (operation, options) =>
  createGraphiQLFetcher({
    url: HTTP,
    enableIncrementalDelivery: false,
    // A socket of its own for each run, opened when it is needed. One that is lost ends its run with a message: to
    // subscribe again in silence would leave a gap in what is shown.
    wsClient: createClient({
      url: WEBSOCKET,
      connectionParams: options?.headers ?? {},
      keepAlive: KEEP_ALIVE,
      retryAttempts: 0,
    }),
  })(operation, options);
