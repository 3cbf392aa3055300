import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { notices } from './notices.ts';
import { sources } from './sources.ts';

const { collect, emit } = notices(
  'GraphiQL, as Darkroom serves it, contains the packages below. Each is followed by its licence.\n',
);

const withoutImagePreview: Plugin = {
  name: 'darkroom-without-image-preview',
  enforce: 'pre',
  resolveId(source, importer) {
    if (!source.endsWith('/image-preview.js') || !importer?.includes('/@graphiql/react/')) return null;
    return fileURLToPath(new URL('./src/no-image-preview.ts', import.meta.url));
  },
};

export default defineConfig({
  plugins: [withoutImagePreview, collect(), emit(), sources(import.meta.dirname)],
  worker: { format: 'es', plugins: () => [collect()] },
  build: {
    assetsDir: 'graphiql-assets',
    // Every file has its name from its content, so that it may be kept for ever; none is put into another.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      onwarn(warning, warn) {
        // "use client" speaks to servers that render React; there is none here.
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') warn(warning);
      },
    },
  },
});
