import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

const BROWSER = ["URL", "document", "localStorage", "location"];

/** What each layer, a folder of src, may import besides itself: other layers and packages. */
const LAYERS = {
  protocol: { layers: [], packages: [] },
  model: { layers: ["protocol"], packages: [] },
  client: { layers: ["protocol", "model"], packages: [] },
  ui: { layers: [], packages: ["lit"] },
  math: { layers: [], packages: ["katex"] },
  diagram: { layers: [], packages: ["mermaid"] },
  markdown: { layers: ["ui"], packages: ["dompurify", "highlight.js"] },
  chat: { layers: ["protocol", "model", "client", "ui", "markdown"], packages: ["lit"] },
  app: { layers: ["protocol", "model", "client", "ui", "chat"], packages: ["lit"] },
};

const BOUNDARIES = Object.entries(LAYERS).map(([name, { layers, packages }]) => {
  const others = Object.keys(LAYERS).filter((other) => other !== name && !layers.includes(other));
  const outside = packages.length > 0 ? `(?!\\.|(?:${packages.join("|")})(?:/|$))` : "(?!\\.)";
  const patterns = [
    { regex: `^(?:\\.{1,2}/)+(?:${others.join("|")})/`, message: `The layer ${name} may not import that layer.` },
    { regex: `^${outside}`, message: `The layer ${name} may not import this package.` },
  ];
  return {
    files: [`src/${name}/**/*.ts`],
    rules: { "no-restricted-imports": ["error", { patterns }] },
  };
});

export default defineConfig(
  { ignores: ["dist", ".building-*", "node_modules"] },
  js.configs.recommended,
  {
    files: ["public/*.js"],
    languageOptions: {
      sourceType: "script",
      globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])),
    },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  ...BOUNDARIES,
);
