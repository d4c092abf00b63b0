// AG-UI's own client: {url, headers, threadId, runs: [{message?, tools?, answer?}]}; says, for each
// run, its events' types, how it ended, and the messages that the agent then has.
import { HttpAgent } from "@ag-ui/client";

export default async ({ given: { url, headers, threadId, runs }, say }) => {
  const agent = new HttpAgent({ url, headers, threadId });
  for (const [place, { message, tools, answer }] of runs.entries()) {
    if (message) agent.addMessage({ id: `m-${place}`, role: "user", content: message });
    if (answer) {
      const call = agent.messages.flatMap((one) => one.toolCalls ?? []).at(-1);
      agent.addMessage({ id: `t-${place}`, role: "tool", toolCallId: call.id, content: answer });
    }
    const events = [];
    let error = null;
    const runId = `run-${place}`;
    try {
      await agent.runAgent({ runId, tools }, { onEvent: ({ event }) => void events.push(event) });
    } catch (caught) {
      error = String(caught.message ?? caught);
    }
    say({
      types: events.map((event) => event.type),
      runs: [...new Set(events.flatMap((event) => (event.runId ? [event.runId] : [])))],
      failure: events.find((event) => event.type === "RUN_ERROR") ?? null,
      error,
      messages: agent.messages,
    });
  }
};
