import { defineConfig } from 'vite';
import { notices } from '../../web/graphiql/notices.ts';
import { sources } from '../../web/graphiql/sources.ts';

const { collect, emit } = notices('This page contains the packages below. Each is followed by its licence.\n');

export default defineConfig({
  plugins: [collect(), emit(), sources(import.meta.dirname)],
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
