/** A line that says what was done and goes away by itself; screen readers say it politely. */

const SHOWN_MS = 4000;
let timer: ReturnType<typeof setTimeout> | undefined;

export function notice(text: string): void {
  const line = document.getElementById("notice");
  if (!line) return;
  line.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => {
    line.textContent = "";
  }, SHOWN_MS);
}
