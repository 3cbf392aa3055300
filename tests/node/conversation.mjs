// With whoever started the program: the task as an argument, then JSON lines on stdin and stdout.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** `origin`; `filter` and `first` of the list; `cuts`: after how many events to cut the socket; `resume`. */
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
