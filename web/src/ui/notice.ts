/** A message that disappears by itself; screen readers announce it politely. */

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
