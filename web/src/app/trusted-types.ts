/**
 * The one address of a script that the page makes up itself: its shared worker's.
 *
 * The policy of the page takes no other from a script (`require-trusted-types-for`), nor text
 * that becomes markup, unless Lit or DOMPurify made it. To import this file is enough; it must
 * come before anything that connects.
 */

interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string | null }): unknown;
}

const WORKER = new URL("client-worker.js", document.baseURI).href;

const { trustedTypes } = globalThis as { trustedTypes?: Policies };

// The name "default" makes it a rule for addresses that come as plain text.
trustedTypes?.createPolicy("default", {
  createScriptURL: (url) => (new URL(url, document.baseURI).href === WORKER ? url : null),
});
