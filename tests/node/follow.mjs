// A subscription over as many connections as it takes.
import { PAUSE } from "./socket.mjs";

/**
 * Subscribe from the cursor `after`, and again from the last one received whenever the connection was lost.
 *
 * `subscribe(after, { event, lost, refused })` begins one subscription and returns how to end it; `take(event)`
 * gets each event and `enough` ends it all. Rejects with what the service answered in place of events.
 */
export function follow(subscribe, after, take, enough) {
  return new Promise((resolve, reject) => {
    let stop;
    const end = (settle, value) => {
      stop?.();
      settle(value);
    };
    const begin = () => {
      stop = subscribe(after, {
        event(event) {
          take(event);
          after = event.cursor;
        },
        lost() {
          stop?.();
          setTimeout(begin, PAUSE);
        },
        refused: (error) => end(reject, error),
      });
    };
    enough.then(() => end(resolve), reject);
    begin();
  });
}
