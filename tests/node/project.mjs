// What an editor learns from graphql.config.yml, by the loader that the plugins use: node project.mjs ROOT PATH…
import { loadConfig } from "graphql-config";

const [rootDir, ...paths] = process.argv.slice(2);
const extensions = ["endpoints", "languageService"].map((name) => () => ({ name }));
const config = await loadConfig({ rootDir, extensions, throwOnMissing: true, throwOnEmpty: true });
const project = config.getProject();
const schema = await project.getSchema();
const documents = await project.getDocuments();
const named = documents.flatMap(({ document }) => document.definitions.map(({ name }) => name.value));

console.log(
  JSON.stringify({
    types: Object.keys(schema.getTypeMap()).filter((name) => !name.startsWith("__")).sort(),
    documents: named.sort(),
    endpoint: project.extension("endpoints").default,
    matches: paths.filter((path) => project.match(path)),
  }),
);
