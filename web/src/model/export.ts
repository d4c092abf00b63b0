/**
 * Exports a conversation to a file.
 *
 * Both have the branch that is shown. JSON has everything that the page knows, turn by turn, and the
 * turns of all branches if there are several. Markdown is for people: a heading for each turn, the original text, reasoning as a quotation, tool calls as JSON, and a last line with the
 * counts. A code fence that an incomplete reply left open is closed, so that it does not swallow
 * what follows.
 */

import type { AssistantMessage, ChatMessage, State, ToolCall } from "./conversation.js";
import type { Source } from "./reply-extras.js";

export interface About {
  readonly title: string;
  readonly name: string;
  readonly link: string;
  /** The time of the export in RFC 3339. */
  readonly at: string;
}

const ROLES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" } as const;
const ENDS = {
  waiting: "not started yet",
  running: "still being written",
  finished: "finished",
  failed: "failed",
  cancelled: "stopped",
  interrupted: "interrupted",
} as const;

export function asJson(state: State, about: About): string {
  const { turns, all, branches, position, closed } = state;
  const whole = {
    format: "streamhub conversation 1",
    title: about.title,
    stream: about.name,
    link: about.link,
    exported_at: about.at,
    position,
    closed,
    turns,
    ...(all.length > turns.length && { all }),
    branches,
  };
  return `${JSON.stringify(whole, null, 2)}\n`;
}

export function asMarkdown(state: State, about: About): string {
  const turns = state.turns.map((turn) => (turn.kind === "reply" ? replyText(turn) : messageText(turn)));
  const source = `*Exported ${about.at} from <${about.link}>*`;
  return `${[`# ${about.title}`, source, ...turns].join("\n\n")}\n`;
}

/** A file name for a title that every file system accepts. */
export function fileName(title: string, ending: "md" | "json"): string {
  const plain = title
    .normalize("NFC")
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "");
  // File systems limit bytes, and a character here has at most four.
  const short = Array.from(plain).slice(0, 50).join("").replace(/-+$/, "");
  // Windows reserves these names for devices.
  const name = /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(short) ? `chat-${short}` : short;
  return `${name || "conversation"}.${ending}`;
}

function messageText(turn: ChatMessage): string {
  const who = turn.author ? `${ROLES[turn.role]} (${line(turn.author)})` : ROLES[turn.role];
  return parts(`## ${who}`, closedFence(turn.text), turn.at && `*${turn.at}*`);
}

function replyText(turn: AssistantMessage): string {
  return parts(
    `## ${ROLES.assistant} (${line(turn.model ?? turn.upstream)})`,
    turn.reasoning && quoted(turn.reasoning),
    closedFence(turn.text),
    ...turn.tools.map(call),
    turn.sources?.length ? `**Sources:**\n\n${turn.sources.map(source).join("\n")}` : "",
    turn.error && `**Error:** ${line(turn.error.message)} (\`${turn.error.code}\`)`,
    `*${facts(turn).join(" · ")}*`,
  );
}

function facts(turn: AssistantMessage): string[] {
  const { usage, seconds } = turn;
  const about = usage?.estimated ? "about " : "";
  const reason = turn.reason && turn.reason !== "stop" ? ` (${turn.reason})` : "";
  return [
    `${ENDS[turn.state]}${reason}`,
    turn.refusal ? "a refusal" : "",
    counted(usage?.prompt_tokens, "prompt tokens", about),
    counted(usage?.cached_tokens, "of them cached", about),
    counted(usage?.completion_tokens, "tokens of the answer", about),
    counted(usage?.reasoning_tokens, "of them reasoning", about),
    seconds?.first === undefined ? "" : `first after ${seconds.first} s`,
    seconds ? `${seconds.total} s` : "",
    turn.startedAt ?? "",
  ].filter(Boolean);
}

const counted = (count: number | undefined, what: string, about: string): string =>
  count === undefined ? "" : `${about}${count} ${what}`;

function call(tool: ToolCall): string {
  const runs = tool.arguments.match(/`+/g) ?? [];
  const fence = "`".repeat(Math.max(3, ...runs.map((run) => run.length + 1)));
  const made = `**Tool call:** \`${line(tool.name)}\` (\`${line(tool.id)}\`)\n\n${fence}json\n${tool.arguments}\n${fence}`;
  return tool.output === undefined ? made : `${made}\n\n${quoted(tool.output, tool.failed ? "Error" : "Result")}`;
}

function source({ name, url }: Source): string {
  return `- ${line(name)}${url === undefined || url === name ? "" : `: ${line(url)}`}`;
}

function quoted(text: string, what = "Reasoning"): string {
  const lines = closedFence(text).split(/\r\n|\r|\n/);
  return `> **${what}**\n>\n${lines.map((one) => `> ${one}`.trimEnd()).join("\n")}`;
}

function closedFence(text: string): string {
  let open: string | undefined;
  for (const one of text.split(/\r\n|\r|\n/)) {
    const [, fence, after] = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(one) ?? [];
    if (!fence) continue;
    if (open === undefined) {
      // With backticks after it, it is inline code (CommonMark 4.5).
      if (fence.startsWith("~") || !after?.includes("`")) open = fence;
    } else if (fence.startsWith(open) && !after?.trim()) {
      open = undefined;
    }
  }
  return open === undefined ? text : `${text}${text.endsWith("\n") ? "" : "\n"}${open}`;
}

const line = (text: string): string => text.replace(/\s+/g, " ").trim();

const parts = (...held: (string | undefined)[]): string => held.filter(Boolean).join("\n\n");
