/** Uppy with Darkroom behind it: each file is announced, sent straight to the store, and finalized. */

import AwsS3 from '@uppy/aws-s3';
import Uppy from '@uppy/core';

/** Larger files are not hashed here: it would take as much memory. The service hashes what was stored anyway. */
const HASHED_BYTES = 10_000_000;

/** Not to the console: what goes wrong with a file stands in its row. */
const SILENT = { debug() {}, warn() {}, error() {} };

/** Beyond Uppy's own events, `uppy` tells `upload-finalized` (file) once Darkroom knows that a file is stored. */
export function createUploads(darkroom) {
  // Uppy asks for the size of parts with nothing but the file's size, which is all that it depends on.
  const partSizes = new Map();

  const uppy = new Uppy({ autoProceed: true, logger: SILENT });
  uppy.use(AwsS3, {
    signRequest: (request) => darkroom.signUploadRequest(request),
    generateObjectKey: (file) => file.meta.upload.key,
    shouldUseMultipart: (file) => file.meta.upload.target?.__typename === 'MultipartUploadTarget',
    getChunkSize: ({ size }) => partSizes.get(size),
  });
  uppy.addPreProcessor((ids) => Promise.all(ids.map((id) => announce(uppy.getFile(id)))));
  uppy.on('file-added', (file) => uppy.setFileMeta(file.id, { clientMutationId: crypto.randomUUID() }));
  uppy.on('upload-success', (file) => file && finalize(file));
  uppy.on('upload-error', (file, error) => file && finalizeIfStored(file, error));

  async function announce(file) {
    if (file.meta.upload) return; // tried again
    try {
      const { media, upload } = await darkroom.requestUpload(await claims(file));
      partSizes.set(file.size, upload.target?.partSize);
      uppy.setFileMeta(file.id, { media, upload });
      // Known bytes: there is nothing to send.
      if (upload.target?.__typename === 'StoredUploadTarget') uppy.emit('upload-success', uppy.getFile(file.id), { status: 200 });
    } catch (error) {
      uppy.emit('upload-error', file, error);
    }
  }

  async function finalize({ id }) {
    const file = uppy.getFile(id);
    try {
      await darkroom.finalizeUpload(file.meta.upload.id);
      uppy.emit('upload-finalized', file);
    } catch (error) {
      uppy.emit('upload-error', file, error);
    }
  }

  /**
   * A lost answer leaves bytes that are stored and can't be sent again: the store refuses them with 412, or
   * with 404 once their parts were put together.
   */
  async function finalizeIfStored({ id }, { status }) {
    if (status !== 404 && status !== 412) return;
    const file = uppy.getFile(id);
    try {
      await darkroom.finalizeUpload(file.meta.upload.id);
    } catch {
      return; // Not stored: the store's own refusal stands.
    }
    uppy.setFileState(id, { error: null });
    uppy.emit('upload-finalized', file);
  }

  async function retry(file) {
    uppy.setFileState(file.id, { error: null });
    await (file.progress.uploadComplete ? finalize(file) : uppy.retryUpload(file.id));
  }

  /** First in Darkroom, which also aborts it at the store, so that Uppy finds nothing left to abort. */
  async function cancel(file) {
    if (isSending(file)) uppy.pauseResume(file.id);
    if (file.meta.upload) await darkroom.abortUpload(file.meta.upload.id);
    uppy.removeFile(file.id);
  }

  return { uppy, retry, cancel };
}

export function isSending({ progress, isPaused, error }) {
  return Boolean(progress.uploadStarted) && !progress.uploadComplete && !isPaused && !error;
}

async function claims({ name, size, type, data, meta }) {
  const sha256 = size < HASHED_BYTES ? hex(await crypto.subtle.digest('SHA-256', await data.arrayBuffer())) : null;
  return { clientMutationId: meta.clientMutationId, filename: name, mimeType: type, size, sha256 };
}

function hex(digest) {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
