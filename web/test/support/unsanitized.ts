/** In place of `markdown/sanitize.ts`, whose DOMPurify does not run on happy-dom. */

export function sanitize(html: string): DocumentFragment {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export const sanitizeFormula = sanitize;
