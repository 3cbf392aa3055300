/** The documents of `examples/`, in the order of their names; one beside them ends in `.variables.json`. */

const documents = files(import.meta.glob('../examples/*.graphql', { query: '?raw', import: 'default', eager: true }));
const variables = files(import.meta.glob('../examples/*.variables.json', { query: '?raw', import: 'default', eager: true }));

export const examples = Object.keys(documents)
  .sort()
  .map((path) => ({
    query: documents[path] ?? '',
    variables: variables[path.replace(/\.graphql$/, '.variables.json')] ?? null,
  }));

function files(found: Record<string, unknown>): Record<string, string> {
  return found as Record<string, string>;
}
