/** One upload on the screen: what is known of it, and what can be done about it. */

import { isSending } from './uploads.js';

const template = document.querySelector('#row');

export class Row {
  /** `actions` are functions of the file by the names that stand at the buttons. */
  constructor(file, actions) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.querySelector('.name').textContent = file.name;
    this.element.querySelector('.size').textContent = bytes(file.size);
    for (const button of this.#buttons) button.addEventListener('click', () => actions[button.dataset.action]());
    this.show(file);
  }

  /** While the file is Uppy's. */
  show(file) {
    const { uploadStarted, uploadComplete, bytesUploaded = 0, bytesTotal } = file.progress;
    const sent = uploadComplete ? 1 : uploadStarted && bytesTotal ? bytesUploaded / bytesTotal : 0;
    this.element.querySelector('progress').value = sent;
    const share = `${Math.floor(sent * 100)} %`;
    if (file.error) this.#say(file.error, 'failed', ['retry', 'cancel']);
    else if (uploadComplete) this.#say('Stored', 'sent', []);
    else if (file.isPaused) this.#say(`Paused at ${share}`, 'paused', ['resume', 'cancel']);
    else if (isSending(file)) this.#say(share, 'sending', ['pause', 'cancel']);
    else this.#say('Announcing', 'sending', []);
  }

  /** Once it is Darkroom's. */
  showMedia({ status, media }) {
    const words = { PROCESSING: 'Developing', READY: 'Ready', FAILED: media?.failure?.message ?? 'Failed' };
    this.#say(words[status] ?? 'Stored', status.toLowerCase(), []);
    if (status === 'READY') this.#showPicture(media.renditions);
  }

  /** What concerns neither. */
  showTrouble(message) {
    this.#say(message, 'failed', []);
  }

  #say(sentence, state, actions) {
    this.element.dataset.state = state;
    this.element.querySelector('.state').textContent = sentence;
    for (const button of this.#buttons) button.hidden = !actions.includes(button.dataset.action);
  }

  #showPicture(renditions) {
    const [smallest] = renditions.filter(({ url }) => url).sort((one, other) => one.width - other.width);
    if (!smallest) return;
    const picture = new Image();
    picture.alt = '';
    picture.src = smallest.url.url;
    this.element.querySelector('.picture').replaceChildren(picture);
  }

  get #buttons() {
    return this.element.querySelectorAll('[data-action]');
  }
}

function bytes(count) {
  if (count === 1) return '1 byte';
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  return `${(count / 1000 ** power).toLocaleString('en', { maximumFractionDigits: 1 })} ${units[power]}`;
}
