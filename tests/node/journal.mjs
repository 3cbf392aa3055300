// The rule of every client: an event is news only if its version is above the last one seen of its media.

export class Journal {
  /** Every message about a media, repeated ones included. */
  received = 0;
  /** The events that were news, in the order in which they came. */
  told = [];
  #seen;

  /** `list` is what was listed: its versions have been seen. */
  constructor(list) {
    this.#seen = new Map(list.map(({ id, version }) => [id, version]));
  }

  isNews({ mediaId, version, status, type }) {
    this.received += 1;
    if (version <= this.versionOf(mediaId)) return false;
    this.#seen.set(mediaId, version);
    this.told.push({ mediaId, version, status, type });
    return true;
  }

  versionOf(mediaId) {
    return this.#seen.get(mediaId) ?? 0;
  }
}
