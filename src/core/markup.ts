/** Text as it may stand between tags or in a quoted attribute. */
export const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;");

/** Text of an SVG that stands on its own: XML has no way to write control characters. */
export const escapeXml = (text: string): string => escapeHtml(text.replace(/\p{C}/gu, "\u{fffd}"));
