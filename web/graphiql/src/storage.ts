/**
 * What the browser keeps between visits: tabs, history, sizes. Request headers are taken out of it, because they may
 * hold secrets: GraphiQL's history would keep them, although its tabs don't.
 */

const OURS = /^graphiql:/;
const HISTORY = /^graphiql:(queries|favorites)$/;

export const storage = {
  getItem: (key: string) => localStorage.getItem(key),
  setItem: (key: string, value: string) =>
    localStorage.setItem(key, HISTORY.test(key) ? withoutHeaders(value) : value),
  removeItem: (key: string) => localStorage.removeItem(key),
  clear: () => keys().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return keys().length;
  },
};

function keys(): string[] {
  return Object.keys(localStorage).filter((key) => OURS.test(key));
}

function withoutHeaders(history: string): string {
  return JSON.stringify(JSON.parse(history), (key, value: unknown) => (key === 'headers' ? undefined : value));
}
