import type { Failure } from "../../core/worker.ts";

// What the server and the thread that reads runs say to each other: one question, one answer, in this order.

export type Question = { readonly kind: "list" } | { readonly kind: "run"; readonly id: string };

/** The answer as JSON; a mistake is the asker's (no such run), anything else our failure. */
export type Answer = { readonly json: string } | { readonly failure: Failure };
