/** Writes down what the build was made from, so that a forgotten build is seen without Node: tests/architecture. */

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Plugin } from 'vite';

const NOT_SOURCES = new Set(['dist', 'node_modules', '.gitignore']);

/** `source.sha256`, in the format of sha256sum, with every file of the project. */
export function sources(project: string): Plugin {
  return {
    name: 'darkroom-sources',
    generateBundle() {
      const lines = filesBelow(project)
        .map((file) => `${sha256(file)}  ${relative(project, file)}\n`)
        .sort((one, other) => (one.slice(66) < other.slice(66) ? -1 : 1));
      this.emitFile({ type: 'asset', fileName: 'source.sha256', source: lines.join('') });
    },
  };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => !NOT_SOURCES.has(name))
    .map((name) => join(directory, name))
    .flatMap((path) => (statSync(path).isDirectory() ? filesBelow(path) : [path]));
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
