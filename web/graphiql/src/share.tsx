/** Keeps the address in step with the open tab, and says so when it can't. */

import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useRef } from 'react';
import { MAX_LENGTH, addressOf, type SharedDocument } from './address';

/** Browsers take only so many changes of the address at once; while somebody types there is no need for more. */
const PAUSE_MS = 200;

export function Share() {
  const address = useAddress();
  useEffect(() => {
    const writing = setTimeout(() => history.replaceState(null, '', address ?? location.pathname), PAUSE_MS);
    return () => clearTimeout(writing);
  }, [address]);
  if (address !== null) return null;
  return (
    <p className="darkroom-notice" role="status">
      This document does not fit into the address ({MAX_LENGTH.toLocaleString('en')} characters): share it as text.
    </p>
  );
}

function useAddress(): string | null {
  return useGraphiQL(({ tabs, activeTabIndex }) => {
    const tab = tabs[activeTabIndex];
    return addressOf(
      new URL(location.href),
      tab ? { query: tab.query ?? '', variables: tab.variables ?? '', operationName: tab.operationName } : null,
    );
  });
}

/** Chooses the operation that a shared link names, once the editor knows its operations. */
export function SharedOperation({ shared }: { shared: SharedDocument | null }) {
  const { setOperationName } = useGraphiQLActions();
  const operations = useGraphiQL((state) => state.operations);
  const chosen = useRef(false);
  useEffect(() => {
    if (chosen.current || !operations) return;
    chosen.current = true;
    const named = operations.find(({ name }) => name && name.value === shared?.operationName);
    if (named?.name) setOperationName(named.name.value);
  }, [operations, setOperationName, shared]);
  return null;
}
