/** Whether the client says that it has what the tag stands for. If-None-Match of HTTP: a list of tags, weak ones among them, or `*`. */
export const isKnown = (header: string | undefined, etag: string): boolean =>
  header !== undefined && (header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag));
