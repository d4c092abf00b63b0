// A small page on the hub's plain HTTP surface: an EventSource to read, fetch to ask.
// The conversation's name is in the address, so every tab with it follows the same one.

const stream = location.hash.slice(1) || `chat-${crypto.randomUUID()}`;
history.replaceState(null, "", `#${stream}`);

const byId = (id) => document.getElementById(id);
const log = byId("log");
const replies = new Map();
let source = null;
let running = null;

function line(kind, text = "") {
  const element = document.createElement("p");
  element.className = kind;
  element.textContent = text;
  log.append(element);
  return element;
}

function reply(generation) {
  if (!replies.has(generation)) {
    replies.set(generation, { reasoning: null, text: null });
  }
  return replies.get(generation);
}

function add(generation, kind, text) {
  const parts = reply(generation);
  parts[kind] ??= line(kind);
  parts[kind].append(text);
}

function end(event, said) {
  running = null;
  byId("stop").disabled = true;
  if (said) line("note", said);
}

const apply = {
  message: (event) => line(event.role, event.text),
  started: (event) => {
    running = event.generation;
    byId("stop").disabled = false;
  },
  delta: (event) => {
    if (event.reasoning) add(event.generation, "reasoning", event.reasoning);
    if (event.text) add(event.generation, "text", event.text);
    if (event.tool) add(event.generation, "tool", `${event.tool.name ?? ""}${event.tool.arguments ?? ""}`);
  },
  finished: (event) => end(event),
  failed: (event) => end(event, `failed: ${event.message} (${event.code})`),
  cancelled: (event) => end(event, "stopped"),
  interrupted: (event) => end(event, "the hub went away in the middle of this answer"),
  retrying: (event) => line("note", `${event.message}; trying again in ${event.after} s`),
};

function follow() {
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource(`v1/live/${stream}?format=sse&from=start`);
  source.onopen = () => (byId("state").textContent = "live");
  source.onerror = () => (byId("state").textContent = source.readyState === EventSource.CLOSED ? "nothing said yet" : "reconnecting");
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    apply[event.type]?.(event);
  };
  source.addEventListener("reset", () => {
    log.replaceChildren();
    replies.clear();
  });
}

byId("composer").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const prompt = byId("prompt").value.trim();
  if (!prompt) return;
  const answer = await fetch("v1/generations", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
    body: JSON.stringify({ stream, prompt }),
  });
  if (answer.ok) {
    byId("prompt").value = "";
    follow();
  } else {
    const { error } = await answer.json();
    line("note", `${error.message} (${error.code})`);
  }
});

byId("stop").addEventListener("click", () => {
  if (running) fetch(`v1/generations/${running}`, { method: "DELETE" });
});

byId("prompt").addEventListener("keydown", (key) => {
  if (key.key === "Enter" && !key.shiftKey && !key.isComposing) {
    key.preventDefault();
    byId("composer").requestSubmit();
  }
});

follow();
