/** The folder of the scripts of the pages, which lies beside what they load later. */
const IN_FOLDER = /\/assets\/[^/]*$/;

/** The URL of a file that lies beside the pages and beside `elements.js`. */
export function ownFile(name: string): string {
  return new URL(IN_FOLDER.test(import.meta.url) ? `../${name}` : name, import.meta.url).href;
}
