/** Deflate does not shrink anything further than this. */
export const largestRatio = 1032;

/** How zlib unpacks `size` bytes and no more: in one chunk, since put together from many they would be there twice. */
export const unpackedTo = (size: number): { readonly maxOutputLength: number; readonly chunkSize: number } => ({
  maxOutputLength: size,
  chunkSize: Math.max(64, size + 1),
});
