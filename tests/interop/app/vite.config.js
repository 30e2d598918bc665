// The calls SDK is an optional peer of the UI Kit: calls beyond signalling are not part of this check.
export default {
  base: "./",
  logLevel: "warn",
  build: {
    chunkSizeWarningLimit: 10000,
    rollupOptions: { external: ["@cometchat/calls-sdk-javascript"] },
  },
};
