/**
 * Sanitizes markup, which is the only way for it to become nodes of a page.
 *
 * Only listed elements are kept; of all others only the text stays. No listed element loads, runs
 * or sends anything, and no listed attribute sets a style, or an id or name (with which text could
 * pose as the page's own elements). The parser works in an inert document that loads nothing.
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
