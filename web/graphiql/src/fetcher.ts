/** Queries and mutations by POST, subscriptions over graphql-transport-ws, both to the page's own service. */

import { createGraphiQLFetcher, type Fetcher, type FetcherParams, type Observable } from '@graphiql/toolkit';
import { getOperationAST, parse, type ExecutionResult } from 'graphql';
import { createClient, type Sink, type SubscribePayload } from 'graphql-ws';

const HTTP = `${location.origin}/graphql`;
const WEBSOCKET = HTTP.replace(/^http/, 'ws');

/** A connection that says nothing for this long, in milliseconds, is asked whether it still lives. */
const KEEP_ALIVE = 10_000;

const post = createGraphiQLFetcher({ url: HTTP, enableIncrementalDelivery: false });

export const fetcher: Fetcher = (operation, options) =>
  isSubscription(operation) ? subscribe(operation, options?.headers ?? {}) : post(operation, options);

function isSubscription({ query, operationName }: FetcherParams): boolean {
  try {
    return getOperationAST(parse(query), operationName)?.operation === 'subscription';
  } catch {
    return false; // the service says what is wrong with it
  }
}

/**
 * Each run has a socket of its own, so a lost one is replaced by the next run. A lost one ends its run with a message:
 * to subscribe again in silence would leave a gap in what is shown.
 */
function subscribe(operation: FetcherParams, headers: Record<string, unknown>): Observable<ExecutionResult> {
  const client = createClient({
    url: WEBSOCKET,
    connectionParams: headers,
    keepAlive: KEEP_ALIVE,
    retryAttempts: 0,
  });
  return {
    subscribe(observer) {
      const sink = observer as Sink<ExecutionResult>;
      const payload = operation as SubscribePayload;
      const error = (reason: unknown) => sink.error(explained(reason));
      return { unsubscribe: client.subscribe(payload, { ...sink, error } as Sink) };
    },
  };
}

/** As GraphiQL prints it; from an Error it would print the stack as well. */
function explained(reason: unknown): unknown {
  if (reason instanceof CloseEvent) {
    const why = [reason.code, reason.reason].filter(Boolean).join(', ');
    return { message: `The connection has ended (${why}). Run the subscription again to go on.` };
  }
  if (reason instanceof Error) return { message: reason.message };
  return reason instanceof Event ? { message: 'The service can not be reached.' } : reason;
}
