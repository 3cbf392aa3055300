// With whoever started the program: the task as an argument, then JSON lines on stdin and stdout.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/**
 * `origin`; `filter` and `first` of the list; `otherFilter` of one that is not looked at; `cuts`: after how many
 * events the socket breaks; `resume`: who makes another.
 */
export const task = JSON.parse(process.argv[2]);

export function say(step, facts = {}) {
  process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
}

/** The next line; rejects when there will be none. */
export async function hear() {
  const { value, done } = await lines.next();
  if (done) throw new Error("stdin ended before the program did.");
  return JSON.parse(value);
}

export function stopListening() {
  process.stdin.destroy();
}
