/**
 * Formats JSON in lines, even while it is incomplete.
 *
 * This is a single pass without a parser, which would refuse incomplete JSON. Text that is not JSON
 * is unchanged.
 */

const WIDE = 2;
/** Longer text is not formatted: nobody reads it, and every piece would cost another pass. */
const MOST = 20_000;

export function pretty(text: string): string {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed) || trimmed.length > MOST) return text;
  let out = "";
  let depth = 0;
  for (let at = 0; at < trimmed.length; at++) {
    const c = trimmed.charAt(at);
    if (c === '"') {
      const end = quoted(trimmed, at);
      out += trimmed.slice(at, end);
      at = end - 1;
    } else if (c === "{" || c === "[") {
      const close = empty(trimmed, at);
      if (close > 0) {
        out += c + trimmed.charAt(close);
        at = close;
      } else out += c + line((depth += 1));
    } else if (c === "}" || c === "]") out += line((depth = Math.max(0, depth - 1))) + c;
    else if (c === ",") out += c + line(depth);
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}

/** The end of the string that starts at `at`, or of the text. */
function quoted(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}

/** The end of an empty object or array; 0 if it is not empty or not complete. */
function empty(text: string, at: number): number {
  let i = at + 1;
  while (i < text.length && /\s/.test(text.charAt(i))) i += 1;
  return text[i] === (text[at] === "{" ? "}" : "]") ? i : 0;
}

function line(depth: number): string {
  return "\n" + " ".repeat(Math.min(depth, 20) * WIDE);
}
