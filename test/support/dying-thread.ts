import { parentPort } from "node:worker_threads";

// In place of an inference thread: loads anything, and dies of the first image.

parentPort!.on("message", ({ id, request }: { readonly id: number; readonly request: { readonly kind: string } }) => {
  if (request.kind === "classify") throw new Error("this image was too much");
  parentPort!.postMessage({ id, value: undefined });
});
