/**
 * Builds everything for the browser into `dist`, with one `vite build`:
 *
 *     index.html, share.html, single.html the pages
 *     assets/…                            what they load; the names depend on the content
 *     theme.js, favicon.svg               copied from public/: what a page needs first
 *     client.js, client.d.ts              the client library for other pages, and its types
 *     client-worker.js                    the connection that the tabs of a page share
 *     elements.js                         <hub-stream> and <hub-chat> for other pages
 *     math.js, assets/KaTeX_….woff2       KaTeX, for the pages and the elements, once there is a formula
 *     diagram.html, diagram.js            Mermaid in its frame, once somebody asks for a diagram
 *
 * Each is an environment of its own, because a file for other pages contains everything it needs
 * and shares no chunks. URLs are relative, so that the hub works under any prefix. The same sources
 * give the same bytes.
 */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";
import { minify } from "terser";
import { defineConfig, type EnvironmentOptions } from "vite";

/** A single file of the given name with everything in it. */
function whole(name: string, entry: string, format: "es" | "iife" = "es"): EnvironmentOptions {
  return {
    consumer: "client",
    build: {
      emptyOutDir: false,
      license: { fileName: `licenses/${name}.md` },
      rolldownOptions: {
        input: { [name]: entry },
        // Vite takes an entry for a page's script and would drop its exports.
        preserveEntrySignatures: "strict",
        output: { format, entryFileNames: "[name].js", codeSplitting: false },
      },
    },
  };
}

/** The types of the client library in one file. Rolldown writes it, because Vite would drop it. */
async function types(folder: string): Promise<void> {
  const library = await rolldown({
    input: { client: "src/client/index.ts" },
    plugins: [dts({ emitDtsOnly: true, tsconfig: "tsconfig.json" })],
  });
  await library.write({ dir: folder, entryFileNames: "[name].js" });
  await library.close();
}

/** Make the client library smaller by another 2 %, which Vite's own minifier leaves. */
async function smaller(folder: string): Promise<void> {
  const file = join(folder, "client.js");
  const { code } = await minify(await readFile(file, "utf8"), { module: true, ecma: 2020, compress: { passes: 3, unsafe_arrows: true } });
  if (code) await writeFile(file, code);
}

export default defineConfig({
  base: "./",
  appType: "mpa",
  build: {
    // The first versions with light-dark(), which would otherwise be expanded for each colour.
    target: ["chrome123", "firefox121", "safari17.5"],
    copyPublicDir: false,
    // The policy of the pages allows no data: URLs, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  environments: {
    client: {
      build: {
        copyPublicDir: true,
        license: { fileName: "licenses/page.md" },
        rolldownOptions: { input: ["index.html", "share.html", "single.html"] },
      },
    },
    library: whole("client", "src/client/index.ts"),
    worker: whole("client-worker", "src/client/worker/index.ts"),
    elements: whole("elements", "src/chat/index.ts"),
    math: whole("math", "src/math/index.ts"),
    // A script without imports, because the frame has no origin that modules could be shared with.
    diagram: whole("diagram", "src/diagram/index.ts", "iife"),
  },
  builder: {
    async buildApp(builder) {
      for (const environment of Object.values(builder.environments)) await builder.build(environment);
      await smaller(builder.config.build.outDir);
      await types(builder.config.build.outDir);
    },
  },
});
