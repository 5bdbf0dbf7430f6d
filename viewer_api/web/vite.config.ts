import tailwindcss from "@tailwindcss/vite";
import { defineConfig } from "vite";

// No inlined assets: the page's content security policy allows scripts, styles and pictures from its own origin only.
export default defineConfig({
  plugins: [tailwindcss()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 900, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
