/**
 * All of HTTP streaming in one page: a single `fetch`, read as it arrives.
 *
 * The hub sends a sentence, one character in each JSON object, with nothing between the objects.
 * The network may cut the bytes anywhere, so two things are held back: the decoder keeps an
 * incomplete character, and `held` an incomplete object.
 */

const answer = element("answer");
const ask = element("ask") as HTMLButtonElement;
const stop = element("stop") as HTMLButtonElement;
let reading = new AbortController();

ask.addEventListener("click", () => void read());
stop.addEventListener("click", () => {
  reading.abort();
});

async function read(): Promise<void> {
  reading = new AbortController();
  running(true);
  answer.textContent = "";
  try {
    const response = await fetch("stream_json_data", { signal: reading.signal });
    if (!response.ok || !response.body) throw new Error(`the hub responded with status ${response.status}`);
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let held = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      held = show(held + decoder.decode(read.value, { stream: true }));
    }
    if (held) throw new Error("the answer broke off");
  } catch (error) {
    answer.append(reading.signal.aborted ? " [stopped]" : ` [${String(error)}]`);
  }
  running(false);
}

/** Show the text of the complete objects; returns the rest. */
function show(held: string): string {
  for (let end = held.indexOf("}") + 1; end > 0; end = held.indexOf("}", end) + 1) {
    const object = whole(held.slice(0, end));
    if (!object) continue; // The brace was inside a string.
    if (object.state < 0) throw new Error(object.message);
    answer.append(object.text);
    held = held.slice(end);
    end = 0;
  }
  return held;
}

function whole(text: string): { state: number; text: string; message: string } | undefined {
  try {
    return JSON.parse(text) as ReturnType<typeof whole>;
  } catch {
    return undefined;
  }
}

function running(now: boolean): void {
  ask.disabled = now;
  stop.disabled = !now;
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

// Makes this file a module with its own scope: `window` has a `stop`, too.
export {};
