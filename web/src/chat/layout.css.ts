/** The conversation's frame: what scrolls, what stays below it. */

import { css } from "lit";

export const layout = css`
  :host {
    display: flex;
    flex-direction: column;
    position: relative;
    min-block-size: 0;
    block-size: 100%;
    /* On a page that gives it no height it is as high as its contents, up to the window. */
    max-block-size: 100dvh;
    overflow: hidden;
    container-type: inline-size;
    background: var(--background);
    color: var(--text);
    font: var(--font-size) / 1.6 var(--font);
    overflow-wrap: anywhere;
  }
  :host([hidden]) {
    display: none;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  .log {
    flex: 1 1 auto;
    min-block-size: 0;
    overflow: auto;
    overscroll-behavior: contain;
    scrollbar-gutter: stable both-edges;
    scrollbar-width: thin;
    scrollbar-color: var(--line) transparent;
    outline-offset: -2px;
  }
  /* Text goes out of sight softly, above and below. */
  .log::before,
  .log::after {
    content: "";
    position: sticky;
    z-index: 1;
    display: block;
    block-size: 1rem;
    background: linear-gradient(var(--background), transparent);
    pointer-events: none;
  }
  .log::before {
    inset-block-start: 0;
    margin-block-end: -1rem;
  }
  .log::after {
    inset-block-end: 0;
    margin-block-start: -1rem;
    rotate: 180deg;
  }
  .turns {
    display: flex;
    flex-direction: column;
    min-block-size: 100%;
    max-inline-size: calc(var(--measure) + 2 * var(--side));
    margin-inline: auto;
    padding: 2rem var(--side) 1.5rem;
    --side: 1.5rem;
  }
  .turns > * {
    display: block;
  }
  /* What is out of sight is not laid out, but the newest always is. The room beside it is for
     outlines, which would be cut. */
  hub-turns > * {
    display: block;
    margin-inline: -0.5rem;
    padding-inline: 0.5rem;
    content-visibility: auto;
    contain-intrinsic-size: auto 6rem;
  }
  hub-turns > .fresh {
    content-visibility: visible;
  }
  .middle {
    margin: auto;
    text-align: center;
    color: var(--muted);
  }
  .loading {
    animation: appear 0.3s 0.5s backwards;
  }
  .foot {
    position: relative;
    flex: none;
    inline-size: 100%;
    max-inline-size: calc(var(--measure) + 3rem);
    margin-inline: auto;
    padding: 0 1.5rem 0.5rem;
  }
  /* At the lower edge of what is seen, without a height of its own. */
  .last {
    position: sticky;
    inset-block-end: 0.5rem;
    inset-inline: 0;
    z-index: 2;
    display: flex;
    align-items: flex-end;
    justify-content: center;
    block-size: 0;
  }
  .pill {
    flex: none;
    display: flex;
    align-items: center;
    gap: 0.4em;
    min-block-size: 2.25rem;
    padding: 0 0.9rem;
    border: 1px solid var(--line);
    border-radius: 1.25rem;
    background: var(--background);
    color: var(--text);
    font: 0.875rem var(--font);
    box-shadow: 0 2px 10px rgb(0 0 0 / 14%);
    cursor: pointer;
  }
  .pill.bare {
    padding: 0 0.55rem;
  }
  .line {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    justify-content: space-between;
    gap: 0 1rem;
    min-block-size: 1.75rem;
    padding-inline: 0.25rem;
    color: var(--muted);
    font-size: 0.8125rem;
  }
  .complaint {
    display: flex;
    align-items: flex-start;
    gap: 0.6rem;
    margin: 0 0 0.5rem;
    padding: 0.55rem 0.55rem 0.55rem 0.9rem;
    border: 1px solid var(--error);
    border-radius: var(--radius);
    color: var(--text);
    font-size: 0.9375rem;
  }
  .complaint > .icon {
    margin-block-start: 0.2rem;
  }
  .complaint p {
    flex: 1;
    margin: 0.1rem 0 0;
  }
  .unseen {
    position: absolute;
    inline-size: 1px;
    block-size: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .icon {
    flex: none;
    inline-size: 1.125rem;
    block-size: 1.125rem;
    fill: none;
    stroke: currentColor;
    stroke-width: 1.75;
    stroke-linecap: round;
    stroke-linejoin: round;
  }
  @keyframes appear {
    from {
      opacity: 0;
    }
  }
  @container (max-width: 30rem) {
    .log {
      scrollbar-gutter: auto;
    }
    .turns {
      padding-block-start: 1.25rem;
      --side: 1rem;
    }
    .foot {
      padding-inline: 0.75rem;
    }
  }
  /* On paper: what was said, in full length, and nothing to press. */
  @media print {
    :host {
      display: block;
      block-size: auto;
      max-block-size: none;
      overflow: visible;
    }
    .log {
      overflow: visible;
    }
    .turns {
      min-block-size: 0;
    }
    hub-turns > * {
      content-visibility: visible;
    }
    .log::before,
    .log::after,
    .foot,
    .last,
    button {
      display: none !important;
    }
  }
  @media (forced-colors: active) {
    .log::before,
    .log::after {
      display: none;
    }
  }
`;
