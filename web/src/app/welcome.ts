/** What an empty conversation shows: a greeting, and examples to start with. */

import { html, type TemplateResult } from "lit";

interface Example {
  readonly prompt: string;
  readonly about: string;
}

/** Prompts with a special reply of the built-in model, which looks at the first word. */
const OF_THE_DEMO: readonly Example[] = [
  { prompt: "Show me around", about: "Headings, lists, a table, many scripts" },
  { prompt: "Code that reads lines from bytes", about: "Python, coloured, ready to copy" },
  { prompt: "Poem about a river", about: "Short, and it flows" },
  { prompt: "你好，今天怎么样？", about: "An answer in Chinese" },
  { prompt: "Tools", about: "A tool call, as it is being written" },
  { prompt: "Long", about: "10,000 tokens: stop it, refresh, open a second tab" },
];

const OF_ANY: readonly Example[] = [
  { prompt: "Explain how a rainbow forms, with a small table of its colours.", about: "Something to know" },
  { prompt: "Write a Python function that tells whether a year is a leap year.", about: "Something to run" },
  { prompt: "Write four lines about a river with many banks.", about: "Something to read aloud" },
  { prompt: "Plan a quiet weekend by the sea for two people.", about: "Something to look forward to" },
];

export function welcome(model: string | undefined, say: (prompt: string) => void): TemplateResult {
  const examples = model === "demo" ? OF_THE_DEMO : OF_ANY;
  return html`
    <h2>What shall we talk about?</h2>
    <p>Every tab with this address follows along. A refresh loses nothing.</p>
    <ul class="examples">
      ${examples.map(
        ({ prompt, about }) => html`<li>
          <button type="button" @click=${() => { say(prompt); }}><span dir="auto">${prompt}</span><small>${about}</small></button>
        </li>`,
      )}
    </ul>
  `;
}
