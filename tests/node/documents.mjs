// The documents of both programs, from the files that the code generator checks against the schema.
import { readFileSync } from "node:fs";
import { parse } from "graphql";

const read = (name) => readFileSync(new URL(`documents/${name}.graphql`, import.meta.url), "utf8");
const withRow = (name) => parse(read(name) + read("media_row"));

export const MEDIA_LIST = withRow("media_list");
export const MEDIA_EVENTS = withRow("media_events");

const { possibleTypes } = JSON.parse(readFileSync(new URL("possible_types.json", import.meta.url), "utf8"));
export { possibleTypes };
