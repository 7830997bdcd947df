import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/** The admin listener that `npm run dev` asks. */
const gateway = process.env.FLAGGATE_ADMIN ?? "http://127.0.0.1:9090";

/** Puts a compressed copy beside each file, as the gateway serves both. */
function compressed(): Plugin {
  const level = constants.Z_BEST_COMPRESSION;
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync("dist", { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level }));
      }
    },
  };
}

/** What is asked of the API, and not of Vite. */
const api = "^/(?!ui(/|$)).+";

export default defineConfig({
  base: "/ui/",
  plugins: [svelte(), compressed()],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { [api]: { target: gateway, ws: true, changeOrigin: true, headers: { origin: gateway } } } },
});
