/**
 * `math.js`: KaTeX with its style and its fonts, which is loaded when the first formula is shown.
 *
 * A style sheet in a shadow tree cannot declare fonts, and the page's policy allows no inline
 * style. So the fonts are declared to the document, each loaded when a letter of it is shown, and
 * the style is a sheet that a tree adopts.
 */

import katex from "katex";
import css from "katex/dist/katex.min.css?raw";

const FONT_FACE = /@font-face\{([^}]*)\}/g;

/** The URLs of the fonts, by their paths in the package. */
const FILES = import.meta.glob<string>("/node_modules/katex/dist/fonts/*.woff2", { query: "?url", import: "default", eager: true });

for (const [, declarations = ""] of css.matchAll(FONT_FACE)) {
  const value = (name: string): string => new RegExp(`(?:^|;)${name}:([^;]*)`).exec(declarations)?.[1] ?? "";
  const file = /fonts\/[\w-]+\.woff2/.exec(declarations)?.[0] ?? "";
  const url = Object.entries(FILES).find(([path]) => path.endsWith(`/${file}`))?.[1];
  if (url === undefined) continue;
  const style = { style: value("font-style"), weight: value("font-weight"), display: "block" as const };
  document.fonts.add(new FontFace(value("font-family"), `url("${new URL(url, import.meta.url).href}")`, style));
}

/** The style of formulas. */
export const style = new CSSStyleSheet();
style.replaceSync(css.replace(FONT_FACE, ""));

/**
 * A formula as HTML, with the same in MathML for screen readers. Commands that make links, load
 * pictures or set attributes are errors; macros and sizes are bounded.
 *
 * @throws ParseError if it is no formula.
 */
export function markup(tex: string, isDisplay: boolean): string {
  return katex.renderToString(tex, {
    displayMode: isDisplay,
    output: "htmlAndMathml",
    throwOnError: true,
    strict: "ignore",
    trust: false,
    maxSize: 20,
    maxExpand: 500,
  });
}
