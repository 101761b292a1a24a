import { defineConfig } from "vite";

// Names without hashes: what is embedded is replaced, never added to. Caches ask by ETag.
export default defineConfig({
  base: "./",
  publicDir: "public",
  build: {
    outDir: "dist",
    // It holds the file by which git keeps the folder.
    emptyOutDir: false,
    assetsDir: "app",
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "app/[name].js",
        chunkFileNames: "app/[name].js",
        assetFileNames: "app/[name][extname]",
      },
    },
  },
  worker: { format: "es", rollupOptions: { output: { entryFileNames: "app/[name].js" } } },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
} as Parameters<typeof defineConfig>[0]);
