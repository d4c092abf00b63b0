/** What is said in the conversation, and by whom. */

import { css } from "lit";

export const turns = css`
  article {
    padding-block: 0.5rem;
  }
  article p {
    margin: 0;
  }
  .said.user {
    display: flex;
    flex-direction: column;
    align-items: flex-end;
    padding-block: 1.25rem 0.25rem;
  }
  .reply {
    padding-block-start: 0;
  }
  .words {
    unicode-bidi: plaintext;
    white-space: pre-wrap;
  }
  .said.user .words {
    max-inline-size: min(85%, 38rem);
    padding: 0.6rem 1rem;
    border-radius: calc(var(--radius) + 0.375rem);
    border-end-end-radius: 0.35rem;
    background: var(--bubble);
  }
  .words + .plain {
    margin-block-start: 0.5rem;
  }
  .said.system .words,
  .said.tool .words {
    padding: 0.6rem 0.9rem;
    border-inline-start: 3px solid var(--line);
    color: var(--muted);
    font-size: 0.9375rem;
  }
  .said.tool .words {
    max-block-size: 18rem;
    overflow: auto;
    font: 0.8125rem/1.55 var(--font-mono);
  }
  .author {
    padding-inline: 0.25rem;
    color: var(--muted);
    font-size: 0.8125rem;
  }
  .actions {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0 0.5rem;
    min-block-size: 2rem;
    /* Where the line is too long for a phone, it must not touch the block above. */
    padding-block-start: 0.25rem;
  }
  /* Buttons beside the counts, also where those need two lines. */
  .reply .actions {
    flex-wrap: nowrap;
  }
  .reply .hover {
    flex: none;
  }
  .said.user .actions {
    margin-inline: 0 -0.1rem;
  }
  .hover,
  .versions {
    display: inline-flex;
    align-items: center;
  }
  .stats,
  .count {
    color: var(--muted);
    font-size: 0.8125rem;
    font-variant-numeric: tabular-nums;
  }
  /* Calm until somebody comes near; always there for keys, touch and the last answer. */
  @media (hover: hover) {
    .hover {
      opacity: 0;
      transition: opacity 0.12s;
    }
    article:hover .hover,
    article:focus-within .hover,
    .fresh .reply .hover {
      opacity: 1;
    }
  }
  .editor {
    inline-size: 100%;
  }
  .reasoning {
    margin-block-end: 0.5rem;
    color: var(--muted);
    font-size: 0.9375rem;
  }
  summary {
    display: inline-flex;
    align-items: center;
    gap: 0.25rem;
    min-block-size: 2rem;
    margin-inline-start: -0.3rem;
    padding-inline-end: 0.5rem;
    border-radius: 0.5rem;
    list-style: none;
    cursor: pointer;
  }
  summary::-webkit-details-marker {
    display: none;
  }
  summary:hover {
    color: var(--text);
  }
  summary .icon {
    transition: rotate 0.15s;
  }
  details[open] > summary .icon {
    rotate: 90deg;
  }
  summary.busy .icon {
    animation: breathe 2s ease-in-out infinite;
  }
  .thoughts {
    margin-block: 0.25rem 0.75rem;
    padding-inline-start: 1rem;
    border-inline-start: 2px solid var(--line);
  }
  .thoughts .hub-markdown {
    color: var(--muted);
  }
  .badge {
    display: inline-block;
    margin-block-end: 0.4rem;
    padding: 0.05rem 0.7rem;
    border: 1px solid var(--warn);
    border-radius: 1rem;
    color: var(--warn);
    font-size: 0.8125rem;
  }
  .tool {
    margin-block: 0.6rem;
    padding: 0.5rem 0.9rem;
    border: 1px solid var(--line);
    border-radius: var(--radius);
    background: var(--surface);
  }
  .tool .name {
    display: flex;
    align-items: center;
    gap: 0.5rem;
    font-size: 0.9375rem;
    font-weight: 600;
  }
  .tool .name .icon {
    color: var(--muted);
  }
  .tool pre {
    margin: 0.4rem 0 0.25rem;
    overflow-x: auto;
    white-space: pre-wrap;
    font: 0.8125rem/1.55 var(--font-mono);
  }
  .tool pre code {
    font: inherit;
  }
  .waiting {
    display: flex;
    align-items: center;
    gap: 0.6rem;
    min-block-size: 1.6rem;
    color: var(--muted);
    font-size: 0.9375rem;
  }
  .dots {
    display: inline-flex;
    gap: 0.25rem;
  }
  .dots i {
    inline-size: 0.4rem;
    block-size: 0.4rem;
    border-radius: 50%;
    background: currentColor;
    animation: breathe 1.4s ease-in-out infinite;
  }
  .dots i:nth-child(2) {
    animation-delay: 0.2s;
  }
  .dots i:nth-child(3) {
    animation-delay: 0.4s;
  }
  .ending {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.4rem 0.75rem;
    margin-block: 0.4rem 0.25rem;
    color: var(--muted);
    font-size: 0.9375rem;
  }
  .ending.error {
    min-block-size: 3.1rem;
    padding: 0.5rem 0.6rem 0.5rem 0.9rem;
    border: 1px solid color-mix(in srgb, var(--error) 45%, transparent);
    border-radius: var(--radius);
    background: color-mix(in srgb, var(--error) 6%, transparent);
    color: var(--text);
  }
  .ending.error > .icon,
  .complaint > .icon {
    color: var(--error);
  }
  .ending p {
    flex: 1 1 12rem;
  }
  .ending code,
  .complaint code {
    color: var(--muted);
    font: 0.8125rem var(--font-mono);
  }
  @keyframes breathe {
    50% {
      opacity: 0.35;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .dots i,
    summary.busy .icon,
    .loading {
      animation: none;
    }
    .hover,
    summary .icon,
    .composer {
      transition: none;
    }
  }
  /* Without its background, which printers leave out, it would float. */
  @media print {
    .said.user .words {
      border: 1px solid var(--line);
    }
  }
  @media (forced-colors: active) {
    .dots i {
      background: CanvasText;
    }
    .said.user .words {
      border: 1px solid CanvasText;
    }
  }
`;
