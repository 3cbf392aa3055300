/** Writes down whose work the built page contains, and under which licences. */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

const LICENCE = /^(licen[cs]e|copying|notice|thirdpartynotices)(\.(md|txt))?$/i;

/** `collect` notes the packages of a build, of the page or of a worker; `emit` writes what all of them noted. */
export function notices(introduction: string): { collect: () => Plugin; emit: () => Plugin } {
  const packages = new Set<string>();
  return {
    collect: () => ({
      name: 'darkroom-collect-packages',
      generateBundle() {
        for (const module of this.getModuleIds()) {
          const directory = packageDirectory(module);
          if (directory) packages.add(directory);
        }
      },
    }),
    emit: () => ({
      name: 'darkroom-emit-notices',
      generateBundle: {
        order: 'post',
        handler() {
          const source = [introduction, ...[...packages].map(notice).sort()].join('\n');
          this.emitFile({ type: 'asset', name: 'third-party-notices.txt', source });
        },
      },
    }),
  };
}

/** `…/node_modules/@scope/name` of a module that lies somewhere below it. */
function packageDirectory(module: string): string | undefined {
  return /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(module)?.[1];
}

function notice(directory: string): string {
  const { name, version, license, homepage } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  const texts = readdirSync(directory)
    .filter((file) => LICENCE.test(file))
    .sort()
    .map((file) => readFileSync(join(directory, file), 'utf8').replaceAll('\r\n', '\n').trim());
  if (!license && texts.length === 0) throw new Error(`${name} does not say under which licence it comes.`);
  if (texts.length === 0) texts.push(`The package brings no text of this licence. It comes from ${homepage ?? name}.`);
  const heading = `${name} ${version} (${license ?? 'see below'})`;
  return [heading, '='.repeat(heading.length), '', ...texts.flatMap((text) => [text, ''])].join('\n');
}
