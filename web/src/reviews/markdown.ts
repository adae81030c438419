// Markdown of models and of the server, as HTML that can do nothing: rendered by marked, cleaned by DOMPurify.
//
// No images (an address in an answer must not make every reader's browser call somebody), no forms, no styles, no ids.
// Links open elsewhere and tell nothing about where they were clicked.

import createDOMPurify from "dompurify";
import { Marked } from "marked";

const marked = new Marked({ gfm: true, breaks: true });
const purify = createDOMPurify(window);
const ALLOWED = {
  ALLOWED_TAGS: [
    ..."a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "title", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

const rendered = new Map<string, string>();
const KEPT = 500;

export function html(text: string): string {
  const known = rendered.get(text);
  if (known !== undefined) return known;
  const made = purify.sanitize(marked.parse(text, { async: false }), ALLOWED);
  rendered.set(text, made);
  const oldest = rendered.keys().next().value;
  if (rendered.size > KEPT && oldest !== undefined) rendered.delete(oldest);
  return made;
}
