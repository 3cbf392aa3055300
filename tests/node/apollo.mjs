// Apollo Client 4: a normalised cache, pages merged by relayStylePagination, changes over graphql-transport-ws.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { filter as only, firstValueFrom } from "rxjs";
import { task } from "./conversation.mjs";
import { MEDIA_EVENTS, MEDIA_LIST, possibleTypes } from "./documents.mjs";
import { newestFirst } from "./newest_first.mjs";
import { breakingSocket } from "./socket.mjs";
import { watchLibrary } from "./watch_library.mjs";

/** The arguments that make another list; those that choose a page of it (first, after) are not among them. */
const LIST_ARGUMENTS = ["filter"];

const { origin, filter, otherFilter, first } = task;
const socket = breakingSocket(task);
const cache = new InMemoryCache({
  possibleTypes,
  typePolicies: { Query: { fields: { mediaItems: relayStylePagination(LIST_ARGUMENTS) } } },
});
const client = new ApolloClient({
  cache,
  link: ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket.client),
    new HttpLink({ uri: `${origin}/graphql` }),
  ),
});
const wholeList = { query: MEDIA_LIST, variables: { filter, first } };
const list = client.watchQuery(wholeList);
// From the cache itself: what a watched query shows is a tick behind it.
const mediaItems = () => cache.readQuery(wholeList).mediaItems;

async function firstPage() {
  list.subscribe({});
  const { data } = await firstValueFrom(list.pipe(only(({ dataState }) => dataState === "complete")));
  // Another list in the same cache, which must leave this one alone.
  const other = { query: MEDIA_LIST, variables: { filter: otherFilter, first } };
  await client.query({ ...other, fetchPolicy: "network-only" });
  return data.mediaItems;
}

async function nextPages() {
  let { pageInfo } = mediaItems();
  while (pageInfo.hasNextPage) {
    const page = await list.fetchMore({ variables: { after: pageInfo.endCursor } });
    ({ pageInfo } = page.data.mediaItems);
  }
}

function subscribe(after, { event, lost, refused }) {
  const events = client.subscribe({ query: MEDIA_EVENTS, variables: { filter, after } });
  const subscription = events.subscribe(({ data, error }) => {
    if (data) event(data.mediaEvents);
    else if (CombinedGraphQLErrors.is(error)) refused(error);
    else lost();
  });
  return () => subscription.unsubscribe();
}

/** By now Apollo has written `media` into the cache; what is left is which media the list has. */
function apply({ type, mediaId, matches, media }) {
  if (type === "DELETED") {
    cache.evict({ id: cache.identify({ __typename: "Media", id: mediaId }) });
    cache.gc();
  } else if (!matches) {
    changeEdges((edges) => edges.filter(({ node }) => node.id !== mediaId));
  } else if (media && !mediaItems().edges.some(({ node }) => node.id === mediaId)) {
    const edge = { __typename: "MediaEdge", cursor: "", node: media };
    changeEdges((edges) => [edge, ...edges].sort((one, other) => newestFirst(one.node, other.node)));
  }
}

function changeEdges(change) {
  cache.updateQuery(wholeList, ({ mediaItems }) => ({
    mediaItems: { ...mediaItems, edges: change(mediaItems.edges) },
  }));
}

const shown = () => mediaItems().edges.map(({ node }) => node);

await watchLibrary({ firstPage, nextPages, subscribe, apply, shown }, socket);
client.stop();
