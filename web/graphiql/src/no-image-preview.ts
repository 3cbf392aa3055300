/**
 * Stands in for GraphiQL's preview of pictures, which loads what looks like a picture's address in an answer when the
 * pointer rests on it. A title may hold anybody's address, and this page asks nobody but its own service.
 */
export const ImagePreview = Object.assign(() => null, { shouldRender: () => false });
