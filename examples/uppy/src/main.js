/** The page: files in, rows out. */

import { Darkroom } from './darkroom.js';
import { Row } from './row.js';
import { createUploads } from './uploads.js';

const address = new URLSearchParams(location.search).get('darkroom') ?? 'http://127.0.0.1:8000';
const darkroom = new Darkroom(address);
const { uppy, retry, cancel } = createUploads(darkroom);
const rows = new Map();
globalThis.uppy = uppy; // to play with in the console

const drop = document.querySelector('#drop');
const input = document.querySelector('#files');
const notice = document.querySelector('#notice');
document.querySelector('#service').href = new URL('/', address).href;

input.addEventListener('change', () => {
  add(input.files);
  input.value = '';
});
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle('over', name === 'dragenter' || name === 'dragover');
    if (name === 'drop') add(event.dataTransfer.files);
  });
}

uppy.on('file-added', (file) => {
  const row = new Row(file, {
    pause: () => uppy.pauseResume(file.id),
    resume: () => uppy.pauseResume(file.id),
    retry: () => retry(uppy.getFile(file.id)),
    cancel: () => cancel(uppy.getFile(file.id)).catch((error) => row.showTrouble(error.message)),
  });
  rows.set(file.id, row);
  document.querySelector('#rows').prepend(row.element);
});
uppy.on('file-removed', (file) => {
  rows.get(file.id)?.element.remove();
  rows.delete(file.id);
});
uppy.on('upload-finalized', (file) => {
  const row = rows.get(file.id);
  // From here on the row is the media's; Uppy forgets the file, so that it may be chosen again.
  rows.delete(file.id);
  uppy.removeFile(file.id);
  darkroom.followMedia(file.meta.media.id, (event) => row.showMedia(event)).catch((error) => row.showTrouble(error.message));
});
uppy.store.subscribe((_before, { files }) => {
  for (const file of Object.values(files)) rows.get(file.id)?.show(file);
});

function add(files) {
  notice.hidden = true;
  for (const data of files) {
    try {
      uppy.addFile({ name: data.name, type: data.type, data });
    } catch (error) {
      tell(error.message); // such as one that is here already
    }
  }
}

function tell(sentence) {
  notice.textContent = sentence;
  notice.hidden = false;
}
