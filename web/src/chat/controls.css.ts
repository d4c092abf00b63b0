/** Buttons, fields and the composer. */

import { css } from "lit";

export const controls = css`
  button,
  textarea {
    font: inherit;
    color: inherit;
  }
  button {
    cursor: pointer;
    -webkit-tap-highlight-color: transparent;
  }
  button:disabled {
    cursor: default;
  }
  button:focus-visible,
  summary:focus-visible,
  .log:focus-visible,
  pre:focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  .log:focus-visible {
    outline-offset: -2px;
  }
  .tiny {
    display: inline-grid;
    place-items: center;
    inline-size: 2rem;
    block-size: 2rem;
    padding: 0;
    border: 0;
    border-radius: 0.5rem;
    background: none;
    color: var(--muted);
  }
  .tiny:hover:enabled {
    background: var(--bubble);
    color: var(--text);
  }
  .tiny:disabled {
    opacity: 0.4;
  }
  .plain,
  .strong {
    flex: none;
    min-block-size: 2rem;
    padding: 0 0.9rem;
    border: 1px solid var(--line);
    border-radius: 1rem;
    background: var(--background);
    font-size: 0.875rem;
  }
  .plain:hover:enabled {
    border-color: var(--muted);
  }
  .strong {
    border-color: transparent;
    background: var(--accent);
    color: var(--on-accent);
  }
  .composer,
  .editor {
    padding: 0.6rem 0.6rem 0.5rem;
    border: 1px solid var(--line);
    border-radius: calc(var(--radius) + 0.5rem);
    background: var(--surface);
    transition: border-color 0.15s;
  }
  .composer:focus-within,
  .editor:focus-within {
    border-color: var(--accent);
  }
  textarea {
    display: block;
    inline-size: 100%;
    min-block-size: 2.25rem;
    max-block-size: min(14rem, 40cqb, 40vb);
    padding: 0.3rem 0.6rem;
    border: 0;
    background: none;
    line-height: 1.5;
    resize: none;
    field-sizing: content;
    outline: none;
    overflow-y: auto;
    scrollbar-width: thin;
  }
  textarea::placeholder {
    color: var(--muted);
    opacity: 1;
  }
  .row {
    display: flex;
    align-items: center;
    gap: 0.5rem;
  }
  .editor .row {
    padding-inline-start: 0.6rem;
  }
  .hint {
    flex: 1;
    min-inline-size: 0;
    color: var(--muted);
    font-size: 0.8125rem;
    line-height: 1.3;
  }
  .round {
    display: grid;
    place-items: center;
    flex: none;
    inline-size: 2.25rem;
    block-size: 2.25rem;
    padding: 0;
    border: 1px solid transparent;
    border-radius: 50%;
    background: var(--accent);
    color: var(--on-accent);
  }
  .round:disabled {
    background: var(--bubble);
    color: var(--muted);
  }
  .round.stop:enabled {
    background: var(--text);
    color: var(--background);
  }
  .editor {
    margin-block-end: 0.5rem;
  }
  /* Without tools the buttons stand beside the text. */
  .composer.bare {
    display: flex;
    align-items: flex-end;
    padding: 0.4rem;
  }
  @media (pointer: coarse) {
    .tiny,
    .round {
      inline-size: 2.5rem;
      block-size: 2.5rem;
    }
    .plain,
    .strong {
      min-block-size: 2.5rem;
      border-radius: 1.25rem;
    }
  }
  @media (forced-colors: active) {
    .round,
    .strong,
    .tiny {
      border: 1px solid ButtonText;
    }
    .round:disabled,
    .tiny:disabled {
      border-color: GrayText;
      color: GrayText;
      opacity: 1;
    }
  }
`;
