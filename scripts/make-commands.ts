import { createProgram } from "../src/cli/program.ts";
import { renderReference } from "../src/cli/reference.ts";
import { writeFileAtomic } from "../src/core/files.ts";

// docs/commands.md from the command line itself.
writeFileAtomic("docs/commands.md", renderReference(await createProgram()));
