import { expect, test } from "vitest";

import { type AssistantMessage, EMPTY, type State } from "../../src/model/conversation.js";
import { type About, asJson, asMarkdown, fileName } from "../../src/model/export.js";

const about: About = { title: "Rivers", name: "chat-1", link: "http://h/#/c/chat-1", at: "2026-01-02T03:04:05Z" };

const reply: AssistantMessage = {
  kind: "reply",
  before: "p1",
  generation: "g1",
  upstream: "local",
  model: "llama3",
  text: "It **flows**.",
  reasoning: "Water.\n\nDownhill.",
  tools: [{ index: 0, id: "call_1", name: "look", arguments: '{"at":"```"}' }],
  refusal: false,
  state: "finished",
  reason: "tool",
  usage: { prompt_tokens: 3, completion_tokens: 8, reasoning_tokens: 2, estimated: true },
  seconds: { first: 0.3, total: 4.2 },
  startedAt: "2026-01-02T03:00:00Z",
};

const state = (...turns: State["turns"]): State => ({ ...EMPTY, turns, position: "p9" });

test("Markdown has every turn with what belongs to it", () => {
  const user = { kind: "message", role: "user", text: "Why?", author: "Ann\nB", before: "p0", at: "2026" } as const;
  expect(asMarkdown(state(user, reply), about)).toBe(`# Rivers

*Exported 2026-01-02T03:04:05Z from <http://h/#/c/chat-1>*

## User (Ann B)

Why?

*2026*

## Assistant (llama3)

> **Reasoning**
>
> Water.
>
> Downhill.

It **flows**.

**Tool call:** \`look\` (\`call_1\`)

\`\`\`\`json
{"at":"\`\`\`"}
\`\`\`\`

*finished (tool) · about 3 prompt tokens · about 8 tokens of the answer · about 2 of them reasoning · first after 0.3 s · 4.2 s · 2026-01-02T03:00:00Z*
`);
});

test("an answer that failed says so", () => {
  const failed: AssistantMessage = { ...reply, state: "failed", error: { code: "upstream_stalled", message: "no\nnews" } };
  expect(asMarkdown(state(failed), about)).toContain("**Error:** no news (`upstream_stalled`)\n\n*failed");
});

test.each([
  ["```js\nlet a", "```"],
  ["````\n```\n", "````"],
  ["~~~ ``` \nx", "~~~"],
  ["> text\n\n   ```\nx", "```"],
])("a fence left open is closed: %j", (text, fence) => {
  const after = asMarkdown(state({ ...reply, text, reasoning: "", tools: [] }), about).split("## ")[1] ?? "";
  expect(after).toContain(`${text.trimEnd()}\n${fence}\n\n*finished`);
});

test.each(["```\nx\n```", "```x``` in a line", "~~~\n```\n~~~", "```\r\nx\r\n````  "])(
  "what is whole stays as it is: %j",
  (text) => {
    expect(asMarkdown(state({ ...reply, text, reasoning: "", tools: [] }), about)).toContain(`${text}\n\n*finished`);
  },
);

test("JSON holds every turn as the page knows it", () => {
  const held = JSON.parse(asJson(state(reply), about)) as { turns: unknown };
  expect(held.turns).toEqual([reply]);
  expect(held).toMatchObject({ title: "Rivers", stream: "chat-1", position: "p9", exported_at: about.at, closed: false });
});

test.each([
  ["Rivers & banks?", "Rivers-banks.md"],
  ["../../etc/passwd", "etc-passwd.md"],
  ["你好，世界", "你好-世界.md"],
  ["???", "conversation.md"],
  ["", "conversation.md"],
  ["CON", "chat-CON.md"],
  ["com1", "chat-com1.md"],
  [".hidden", "hidden.md"],
  ["a\u202etxt.exe", "a-txt-exe.md"],
  ["x".repeat(200), `${"x".repeat(50)}.md`],
])("%j is saved as %s", (title, name) => {
  expect(fileName(title, "md")).toBe(name);
});
