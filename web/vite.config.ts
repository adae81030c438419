// Builds the page into the Python package, from where the server hands it out under a strict Content-Security-Policy:
// every script and style is a file of its own, and file names carry a hash so that they may be cached for ever.
import { defineConfig } from "vite";

const path = (relative: string): string => decodeURIComponent(new URL(relative, import.meta.url).pathname);

export default defineConfig({
  resolve: { alias: { "palaver-client": path("../clients/typescript/src/index.ts") } },
  build: {
    outDir: path("../src/palaver/web/static"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/ws": { target: "http://127.0.0.1:8000", ws: true }, "/api": "http://127.0.0.1:8000" } },
});
