/**
 * Sanitizes markup, which is the only way for it to become nodes of a page.
 *
 * Only listed elements are kept; of all others only the text stays. No listed element loads, runs
 * or sends anything, and no listed attribute sets a style, or an id or name (with which text could
 * pose as the page's own elements). The parser works in an inert document that loads nothing.
 */

import createDOMPurify from "dompurify";

export const TAGS = [
  ..."p br hr h1 h2 h3 h4 h5 h6 table thead tbody tr th td".split(" "),
  ..."a span code strong em b i u s del ins mark sub sup kbd".split(" "),
];
export const ATTRIBUTES = ["href", "rel", "align", "class"];

/** What KaTeX makes: spans and drawings, and for screen readers MathML. */
const FORMULA_TAGS = [
  ..."span svg path line math semantics annotation mrow mi mo mn ms mtext mspace mstyle mpadded mphantom".split(" "),
  ..."mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts mprescripts".split(" "),
  ..."mtable mtr mlabeledtr mtd menclose merror".split(" "),
];
const FORMULA_ATTRIBUTES = [
  ..."class aria-hidden xmlns display encoding width height depth voffset viewbox preserveaspectratio d".split(" "),
  ..."x1 x2 y1 y2 stroke-width mathvariant mathcolor mathbackground mathsize stretchy fence separator".split(" "),
  ..."lspace rspace minsize maxsize accent accentunder displaystyle scriptlevel movablelimits symmetric form".split(" "),
  ..."columnalign columnspacing rowspacing columnlines rowlines linethickness notation".split(" "),
];

const CLASS = /^math-(?:inline|display|open)$/;
/** Where the style of an element waits, which the page's policy allows only as properties. */
const STYLE = "data-style";
/** KaTeX escapes quotes in text, so this is in a tag. */
const STYLED = / style="/g;

const purify = createDOMPurify(window);
let isFormula = false;

purify.addHook("uponSanitizeAttribute", (_node, attribute) => {
  if (!isFormula && attribute.attrName === "class" && !CLASS.test(attribute.attrValue)) attribute.keepAttr = false;
});

export function sanitize(html: string): DocumentFragment {
  return purify.sanitize(html, {
    RETURN_DOM_FRAGMENT: true,
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
    ADD_URI_SAFE_ATTR: ["rel", "align"],
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
  });
}

/** Sanitize what KaTeX made of a formula. */
export function sanitizeFormula(html: string): DocumentFragment {
  isFormula = true;
  try {
    const fragment = purify.sanitize(html.replace(STYLED, ` ${STYLE}="`), {
      RETURN_DOM_FRAGMENT: true,
      ALLOWED_TAGS: FORMULA_TAGS,
      ALLOWED_ATTR: [...FORMULA_ATTRIBUTES, STYLE],
      ADD_URI_SAFE_ATTR: [STYLE],
      ALLOW_ARIA_ATTR: false,
      ALLOW_DATA_ATTR: false,
    });
    for (const element of fragment.querySelectorAll<HTMLElement | SVGElement>(`[${STYLE}]`)) {
      element.style.cssText = element.getAttribute(STYLE) ?? "";
      element.removeAttribute(STYLE);
    }
    return fragment;
  } finally {
    isFormula = false;
  }
}
