/** What a page asks of Darkroom: over HTTP, and over WebSocket for what it follows. */

import { createClient } from 'graphql-ws';

const REQUEST_UPLOAD = `
  mutation RequestUpload($input: RequestUploadInput!) {
    requestUpload(input: $input) {
      media { id }
      upload { id key target { __typename ... on MultipartUploadTarget { partSize } } }
      userErrors { message }
    }
  }`;

const SIGN_UPLOAD_REQUEST = `
  mutation SignUploadRequest($input: SignUploadRequestInput!) {
    signUploadRequest(input: $input) { url key headers fields }
  }`;

const FINALIZE_UPLOAD = `
  mutation FinalizeUpload($id: ID!) {
    finalizeUpload(uploadId: $id) { media { id } userErrors { message } }
  }`;

const ABORT_UPLOAD = `
  mutation AbortUpload($id: ID!) {
    abortUpload(uploadId: $id) { upload { id status } userErrors { message } }
  }`;

const MEDIA_STATUS = `
  subscription MediaStatus($id: ID!) {
    mediaStatus(id: $id) {
      status
      media { id failure { message } renditions(role: THUMBNAIL) { width mimeType url { url } } }
    }
  }`;

export class Darkroom {
  #endpoint;
  #socket;

  /** `address` is where Darkroom serves; it must know this page's origin (`DARKROOM_CORS_ORIGINS`). */
  constructor(address) {
    this.#endpoint = new URL('/graphql', address);
    const socket = new URL(this.#endpoint);
    socket.protocol = socket.protocol.replace('http', 'ws');
    this.#socket = createClient({ url: socket.href, retryAttempts: Infinity });
  }

  /** Announce a file; asked again under the same `clientMutationId`, as after a lost answer, it is the same upload. */
  async requestUpload(input) {
    const { requestUpload } = await this.#ask(REQUEST_UPLOAD, { input });
    return accepted(requestUpload);
  }

  /** All that Uppy's `signRequest` has to do: its types are those of this mutation. */
  async signUploadRequest(request) {
    const { signUploadRequest } = await this.#ask(SIGN_UPLOAD_REQUEST, { input: request });
    return dropNulls(signUploadRequest);
  }

  /** Say that the bytes were sent. May be said again. */
  async finalizeUpload(id) {
    const { finalizeUpload } = await this.#ask(FINALIZE_UPLOAD, { id });
    return accepted(finalizeUpload);
  }

  /** Give the upload up, here and at the store. */
  async abortUpload(id) {
    const { abortUpload } = await this.#ask(ABORT_UPLOAD, { id });
    return accepted(abortUpload);
  }

  /** Call `see` with the media's present state and with each that follows, until it is READY or FAILED. */
  async followMedia(id, see) {
    for await (const { data, errors } of this.#socket.iterate({ query: MEDIA_STATUS, variables: { id } })) {
      if (errors) throw new Error(errors[0].message);
      see(data.mediaStatus);
    }
  }

  async #ask(query, variables) {
    const response = await fetch(this.#endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    if (errors) throw new Error(errors[0].message);
    return data;
  }
}

/** GraphQL says null where Uppy wants nothing at all. */
function dropNulls(answer) {
  return Object.fromEntries(Object.entries(answer).filter(([, value]) => value !== null));
}

function accepted({ userErrors, ...payload }) {
  if (userErrors.length) throw new Error(userErrors.map(({ message }) => message).join(' '));
  return payload;
}
