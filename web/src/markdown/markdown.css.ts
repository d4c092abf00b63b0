/**
 * How Markdown looks: for the shadow root that holds a `StreamingMarkdown`.
 *
 * Every colour, font and corner is a custom property that a page may set on the element or
 * above it. Where it does not, `light-dark()` takes the colour that goes with the element's
 * `color-scheme`. The colours of code keep a contrast of 4.5:1 to its background in both.
 *
 *     --hub-text  --hub-muted  --hub-accent  --hub-line  --hub-surface  --hub-font-mono
 *     --hub-radius  --hub-mark  --hub-code-keyword  --hub-code-string  --hub-code-number
 *     --hub-code-comment  --hub-code-title  --hub-code-type  --hub-code-name
 *     --hub-code-added  --hub-code-removed
 */

import { css } from "lit";

const prose = css`
  .hub-markdown {
    --text: var(--hub-text, light-dark(#1f2328, #e7e9ec));
    --muted: var(--hub-muted, light-dark(#5b636d, #9ba4ae));
    --accent: var(--hub-accent, light-dark(#2f5fd0, #8fb2ff));
    --line: var(--hub-line, light-dark(#dfe3e8, #343a41));
    --mono: var(--hub-font-mono, ui-monospace, "SF Mono", "Cascadia Code", "DejaVu Sans Mono", monospace);
    --surface: var(--hub-surface, light-dark(#f6f7f8, #1f2226));
    --round: min(var(--hub-radius, 0.875rem), 0.75rem);
    color: var(--text);
    line-height: 1.6;
    overflow-wrap: anywhere;
  }
  .hub-markdown > * { margin-block: 0 0.85em; }
  .hub-markdown > :last-child { margin-block-end: 0; }
  .hub-markdown :is(p, h1, h2, h3, h4, h5, h6, li, th, td) { unicode-bidi: plaintext; text-align: start; }
  /* Within a list or a column all stand on one side, beside the marks. */
  .hub-markdown :is(li, li p, th, td) { text-align: -webkit-match-parent; text-align: match-parent; }
  .hub-markdown :is(h1, h2, h3, h4, h5, h6) { line-height: 1.3; font-weight: 650; margin-block: 1.4em 0.5em; }
  .hub-markdown > :is(h1, h2, h3, h4, h5, h6):first-child { margin-block-start: 0; }
  .hub-markdown h1 { font-size: 1.5em; }
  .hub-markdown h2 { font-size: 1.28em; }
  .hub-markdown h3 { font-size: 1.12em; }
  .hub-markdown :is(h4, h5, h6) { font-size: 1em; }
  .hub-markdown h6 { color: var(--muted); }
  .hub-markdown :is(ul, ol) { padding-inline-start: 1.6em; }
  .hub-markdown li { margin-block: 0.25em; }
  .hub-markdown li > :is(ul, ol) { margin-block: 0.25em; }
  .hub-markdown li > :is(p, .hub-code, .hub-table, blockquote) { margin-block: 0.5em; }
  .hub-markdown li::marker { color: var(--muted); font-variant-numeric: tabular-nums; }
  .hub-markdown blockquote {
    margin-inline: 0;
    padding: 0.1em 0 0.1em 1em;
    border-inline-start: 3px solid var(--line);
    color: var(--muted);
  }
  .hub-markdown blockquote > * { margin-block: 0.5em; }
  .hub-markdown hr { border: 0; border-block-start: 1px solid var(--line); margin-block: 1.6em; }
  .hub-markdown :is(strong, b) { font-weight: 650; }
  .hub-markdown :is(sub, sup) { line-height: 0; }
  .hub-markdown mark { background: var(--hub-mark, light-dark(#fff1b3, #5b4a0b)); color: inherit; border-radius: 3px; }
  .hub-markdown kbd {
    font: 0.85em var(--mono);
    border: 1px solid var(--line);
    border-block-end-width: 2px;
    border-radius: 5px;
    padding: 0.1em 0.4em;
  }
  .hub-markdown a { color: var(--accent); text-underline-offset: 0.18em; unicode-bidi: isolate; }
  .hub-markdown a:not([href]) { color: inherit; text-decoration: underline dotted; }
  .hub-markdown a:focus-visible,
  .hub-markdown [tabindex]:focus-visible,
  .hub-copy:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  .hub-host { color: var(--muted); font-size: 0.85em; unicode-bidi: isolate; }
  .hub-image {
    display: inline-block;
    border: 1px dashed var(--line);
    border-radius: var(--round);
    padding: 0.15em 0.6em;
    text-decoration: none;
  }
  .hub-image[href]:hover { text-decoration: underline; }
  .hub-table { overflow-x: auto; }
  .hub-markdown table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  .hub-markdown :is(th, td) { padding: 0.4em 0.8em; border-block-end: 1px solid var(--line); overflow-wrap: normal; }
  .hub-markdown :is(th, td)[align="right"] { text-align: right; }
  .hub-markdown :is(th, td)[align="center"] { text-align: center; }
  .hub-markdown :is(th, td) a { overflow-wrap: anywhere; }
  .hub-markdown th { font-weight: 650; border-block-end-width: 2px; }
  .hub-told { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

const code = css`
  .hub-markdown :not(pre) > code {
    font: 0.88em var(--mono);
    background: var(--surface);
    color: var(--text);
    border-radius: 5px;
    padding: 0.15em 0.35em;
    unicode-bidi: isolate;
  }
  .hub-code { border: 1px solid var(--line); border-radius: var(--round); background: var(--surface); overflow: hidden; }
  .hub-code-bar {
    display: flex;
    align-items: center;
    justify-content: space-between;
    min-height: 2.1rem;
    padding-inline: 0.9rem 0.35rem;
    border-block-end: 1px solid var(--line);
    color: var(--muted);
    font-size: 0.8rem;
    user-select: none;
  }
  .hub-copy {
    font: inherit;
    color: inherit;
    background: none;
    border: 0;
    border-radius: 6px;
    padding: 0.25rem 0.6rem;
    cursor: pointer;
  }
  @media (pointer: coarse) {
    .hub-copy { min-height: 2.5rem; min-width: 3.5rem; }
  }
  .hub-copy:hover { color: var(--text); background: color-mix(in srgb, var(--text) 8%, transparent); }
  .hub-code pre { margin: 0; padding: 0.8rem 0.9rem; overflow-x: auto; tab-size: 4; }
  .hub-code pre:focus-visible { outline-offset: -3px; }
  .hub-code code {
    display: block;
    width: max-content;
    min-width: 100%;
    font: 0.86rem/1.55 var(--mono);
    white-space: pre;
    unicode-bidi: isolate;
  }
  .hub-piece { display: block; }
  /* Paper cannot be scrolled. */
  @media print {
    .hub-copy { display: none; }
    .hub-table { overflow: visible; }
    .hub-markdown :is(th, td) { overflow-wrap: anywhere; }
    .hub-code code { width: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
    .hub-markdown :is(h1, h2, h3, h4, h5, h6) { break-after: avoid; }
    .hub-markdown :is(tr, .hub-code-bar) { break-inside: avoid; }
  }
`;

const colours = css`
  .hljs-comment, .hljs-quote, .hljs-doctag { color: var(--hub-code-comment, light-dark(#5b6370, #9aa5b4)); font-style: italic; }
  .hljs-keyword, .hljs-selector-tag, .hljs-operator, .hljs-template-tag { color: var(--hub-code-keyword, light-dark(#9a1b68, #f392c3)); }
  .hljs-string, .hljs-regexp, .hljs-char, .hljs-selector-attr { color: var(--hub-code-string, light-dark(#19663a, #92d6a2)); }
  .hljs-number, .hljs-literal, .hljs-symbol, .hljs-bullet, .hljs-link { color: var(--hub-code-number, light-dark(#8a4600, #f1b570)); }
  .hljs-title, .hljs-section, .hljs-selector-id, .hljs-name { color: var(--hub-code-title, light-dark(#1d4db5, #8db8ff)); }
  .hljs-type, .hljs-title.class_, .hljs-built_in, .hljs-selector-class { color: var(--hub-code-type, light-dark(#0a5e6c, #76d5db)); }
  .hljs-attr, .hljs-attribute, .hljs-variable, .hljs-template-variable, .hljs-property, .hljs-params, .hljs-meta, .hljs-selector-pseudo {
    color: var(--hub-code-name, light-dark(#70379a, #cdaaf7));
  }
  .hljs-params { color: inherit; }
  .hljs-addition { color: var(--hub-code-added, light-dark(#19663a, #92d6a2)); }
  .hljs-deletion { color: var(--hub-code-removed, light-dark(#a3242b, #ff9d9d)); }
  .hljs-emphasis { font-style: italic; }
  .hljs-strong, .hljs-section { font-weight: 650; }
`;

export const markdownCss = [prose, code, colours];
