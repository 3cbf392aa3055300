// What a gallery does, whichever client it uses: read a list page by page, then follow it without a gap.
import { hear, say, stopListening } from "./conversation.mjs";
import { follow } from "./follow.mjs";
import { Journal } from "./journal.mjs";

/**
 * `gallery` is a client's own part: `firstPage()` and `nextPages()` read the list, `subscribe` is as in `follow`,
 * `apply(event)` changes the list, and `shown()` is the list now. The other side is told after each step and
 * decides when to go on; at last it names an event, with which the program ends.
 */
export async function watchLibrary(gallery, socket) {
  // Of the first page: the cursors of the later ones don't cover what has changed since.
  const { liveCursor } = await gallery.firstPage();
  say("first page", { list: gallery.shown(), liveCursor });
  await hear();

  await gallery.nextPages();
  const journal = new Journal(gallery.shown());
  say("list", { list: gallery.shown() });
  await hear();

  const end = lastEvent(journal);
  const take = (event) => {
    if (event.type === "RESYNC") throw new Error("The cursor leads nowhere: the list must be read again.");
    if (journal.isNews(event)) gallery.apply(event);
    socket.cutIfDue(journal.told.length);
    end.isSeen();
  };
  await follow(gallery.subscribe, liveCursor, take, end.seen);
  say("end", { list: gallery.shown(), told: journal.told, received: journal.received, sockets: socket.opened });
  stopListening();
  await socket.client.dispose();
}

/** `seen` resolves once the journal has reached the event that the other side names. */
function lastEvent(journal) {
  let last;
  let resolve;
  const reached = new Promise((settle) => {
    resolve = settle;
  });
  const isSeen = () => {
    if (last && journal.versionOf(last.mediaId) >= last.version) resolve();
  };
  const named = hear().then((named) => {
    last = named;
    isSeen();
  });
  return { isSeen, seen: Promise.all([named, reached]) };
}
