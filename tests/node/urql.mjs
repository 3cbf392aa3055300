// urql: its document cache forgets and fetches again, so what follows a stream is kept in a map of our own.
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { task } from "./conversation.mjs";
import { MEDIA_EVENTS, MEDIA_LIST } from "./documents.mjs";
import { newestFirst } from "./newest_first.mjs";
import { breakingSocket } from "./socket.mjs";
import { watchLibrary } from "./watch_library.mjs";

const { origin, filter, first } = task;
const socket = breakingSocket(task);
const client = new Client({
  url: `${origin}/graphql`,
  preferGetMethod: false,
  exchanges: [
    cacheExchange,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: socket.client.subscribe({ query, variables }, sink) }),
      }),
    }),
  ],
});

const library = new Map();
let pageInfo;

async function readPage(after) {
  const { data, error } = await client.query(MEDIA_LIST, { filter, first, after }).toPromise();
  if (error) throw error;
  for (const { node } of data.mediaItems.edges) library.set(node.id, node);
  ({ pageInfo } = data.mediaItems);
  return data.mediaItems;
}

async function nextPages() {
  while (pageInfo.hasNextPage) await readPage(pageInfo.endCursor);
}

function subscribe(after, { event, lost, refused }) {
  const events = client.subscription(MEDIA_EVENTS, { filter, after });
  const { unsubscribe } = events.subscribe(({ data, error }) => {
    if (data) event(data.mediaEvents);
    else if (error.graphQLErrors.length) refused(error);
    else lost();
  });
  return unsubscribe;
}

function apply({ mediaId, matches, media }) {
  if (!matches) library.delete(mediaId);
  else if (media) library.set(mediaId, media);
}

const shown = () => [...library.values()].sort(newestFirst);

await watchLibrary({ firstPage: () => readPage(), nextPages, subscribe, apply, shown }, socket);
