/**
 * The open document as a part of the address, so that a link to it can be shared.
 *
 * It stands in the fragment, which browsers don't send: neither the service nor a gateway before it sees, logs or
 * limits what people write. Links in the form `?query=…`, as other tools make them, are understood as well.
 * Request headers are never part of it: they may hold secrets.
 */

export interface SharedDocument {
  query: string;
  variables: string;
  operationName: string | null;
}

/** Longer addresses are cut off by mail and chat programs, and some browsers refuse them. */
export const MAX_LENGTH = 32_000;

/** The document that an address brings along; null where there is none. */
export function documentIn(address: URL): SharedDocument | null {
  const fragment = new URLSearchParams(address.hash.slice(1));
  const given = fragment.has('query') ? fragment : address.searchParams;
  const query = given.get('query');
  if (!query) return null;
  return { query, variables: given.get('variables') ?? '', operationName: given.get('operationName') };
}

/** The same page with this document, or without any; null where the address would be longer than MAX_LENGTH. */
export function addressOf(page: URL, document: SharedDocument | null): string | null {
  const bare = page.origin + page.pathname;
  if (!document?.query.trim()) return bare;
  const fragment = new URLSearchParams({ query: document.query });
  if (document.variables.trim()) fragment.set('variables', document.variables);
  if (document.operationName) fragment.set('operationName', document.operationName);
  const address = `${bare}#${fragment}`;
  return address.length > MAX_LENGTH ? null : address;
}
