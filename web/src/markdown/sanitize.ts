/**
 * The wall: markup becomes nodes of a page only through here, whoever wrote it.
 *
 * The list says what may pass; all else is gone, and of what is gone only the text stays. No
 * element on it loads, runs, or sends anything; no attribute names a thing (which would let
 * text stand in for the page's own elements) or styles one. The parser works in a document
 * that is not shown and loads nothing.
 */

import createDOMPurify from "dompurify";

export const TAGS = [
  ..."p br hr h1 h2 h3 h4 h5 h6 blockquote ul ol li pre code table thead tbody tr th td".split(" "),
  ..."a strong em b i u s del ins mark sub sup kbd".split(" "),
];
export const ATTRIBUTES = ["href", "rel", "start", "align", "class"];

const CLASS = /^language-[\w+#.-]{1,40}$/;

const purify = createDOMPurify(window);

purify.addHook("uponSanitizeAttribute", (_node, attribute) => {
  if (attribute.attrName === "class" && !CLASS.test(attribute.attrValue)) attribute.keepAttr = false;
});

export function sanitize(html: string): DocumentFragment {
  return purify.sanitize(html, {
    RETURN_DOM_FRAGMENT: true,
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
    ADD_URI_SAFE_ATTR: ["rel", "start", "align"],
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
  });
}
