import * as sdim from "../../../src/browser.ts";

// The entry as a page has it; tests call it from outside.
Object.assign(globalThis, { sdim });
