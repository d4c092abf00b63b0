/** A style sheet as text, for a shadow tree. */
declare module "*.css?inline" {
  const text: string;
  export default text;
}

/** A style sheet as text, as it stands in its file. */
declare module "*.css?raw" {
  const text: string;
  export default text;
}

interface ImportMeta {
  /** What each of the files that match exports under the name `import`. */
  glob<T>(pattern: string, options: { query: string; import: string; eager: true }): Record<string, T>;
}
