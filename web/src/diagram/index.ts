/**
 * `diagram.js`: Mermaid, in the sandboxed frame `diagram.html`, which knows nothing of the page.
 *
 * Mermaid writes style sheets and markup into its document, which the page's policy forbids. The frame
 * has a policy of its own, an origin of its own and no network. It is sent one text, and answers
 * with the height of the drawing or with what is wrong with the text.
 */

import mermaid from "mermaid";

/** What the page sends: a diagram, and whether the page is dark. */
interface Request {
  readonly source: string;
  readonly isDark: boolean;
}

/** Bounds for diagrams that would take minutes. */
const LONGEST = 50_000;
const MOST_EDGES = 500;

window.addEventListener("message", ({ source, data }) => {
  if (source === window.parent) void show(data as Request);
});
answer({ isReady: true });

async function show({ source, isDark }: Request): Promise<void> {
  document.documentElement.style.colorScheme = isDark ? "dark" : "light";
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: "strict",
    suppressErrorRendering: true,
    theme: isDark ? "dark" : "default",
    fontFamily: "system-ui, sans-serif",
    maxTextSize: LONGEST,
    maxEdges: MOST_EDGES,
  });
  try {
    const { svg } = await mermaid.render("diagram", source);
    document.body.innerHTML = svg;
    answer({ height: Math.ceil(document.body.getBoundingClientRect().height) });
  } catch (error) {
    document.body.replaceChildren();
    answer({ error: error instanceof Error ? error.message : String(error) });
  }
}

function answer(message: unknown): void {
  window.parent.postMessage(message, "*");
}
