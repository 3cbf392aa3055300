/** GraphiQL for Darkroom: the service's own examples, its own transports, and no address but its own. */

import 'graphiql/setup-workers/vite';
import '@fontsource/fira-code/latin-400.css';
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import './style.css';

import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import { documentIn, type SharedDocument } from './address';
import { examples } from './examples';
import { fetcher } from './fetcher';
import { Share, SharedOperation } from './share';
import { storage } from './storage';

/** Empty variables are given as such: absent ones would be taken from the last visit. */
function opened(shared: SharedDocument | null) {
  if (!shared) return { defaultTabs: examples };
  const others = examples.filter(({ query }) => query !== shared.query);
  return {
    initialQuery: shared.query,
    initialVariables: shared.variables,
    defaultTabs: [{ query: shared.query, variables: shared.variables }, ...others],
  };
}

// Another link in the same tab changes the fragment only, for which browsers don't load the page again.
addEventListener('hashchange', () => location.reload());

const shared = documentIn(new URL(location.href));
const root = document.getElementById('graphiql');
if (!root) throw new Error('The page has no element to show GraphiQL in.');
createRoot(root).render(
  <GraphiQL fetcher={fetcher} storage={storage} inputValueDeprecation defaultEditorToolsVisibility {...opened(shared)}>
    <GraphiQL.Logo>Darkroom</GraphiQL.Logo>
    <SharedOperation shared={shared} />
    <Share />
  </GraphiQL>,
);
