/**
 * Allows the only script URL that the page creates itself, that of its shared worker.
 *
 * The page's policy (`require-trusted-types-for`) refuses any other script URL, and any text as
 * markup that does not come from Lit or DOMPurify. Importing this file is enough; it must come
 * before anything that connects.
 */

interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string | null }): unknown;
}

const WORKER = new URL("client-worker.js", document.baseURI).href;

const { trustedTypes } = globalThis as { trustedTypes?: Policies };

// The name "default" applies it to URLs that are plain strings.
trustedTypes?.createPolicy("default", {
  createScriptURL: (url) => (new URL(url, document.baseURI).href === WORKER ? url : null),
});
