/** The rooms of src/ and what each may import besides itself. docs/layout.md describes them; `npm run check` holds us to it. */
const engine = ["core", "graph", "onnx", "runtime"];
const rooms = {
  core: [],
  data: ["core"],
  graph: ["core"],
  onnx: ["core", "graph"],
  runtime: ["core", "graph", "onnx"],
  nn: ["core", "graph"],
  losses: ["core", "graph", "nn"],
  optim: ["core", "graph"],
  classify: [...engine, "data", "nn"],
  reject: [...engine, "data", "nn", "classify"],
  train: [...engine, "data", "nn", "losses", "optim", "classify", "reject"],
  score: ["core", "data", "classify"],
  attacks: [...engine, "data", "nn", "classify", "reject"],
  evaluate: [...engine, "data", "nn", "losses", "optim", "classify", "reject", "train", "attacks"],
  ablate: ["core", "data", "runtime", "classify", "reject", "train", "evaluate"],
  export: [...engine, "data", "nn", "classify", "reject", "evaluate"],
};
/** Rooms that put everything together, and that no other room may import. */
const top = ["cli", "server", "browser"];

const oneWay = Object.entries(rooms).map(([room, below]) => ({
  name: `${room}-imports-only-rooms-below`,
  comment: `src/${room} may import ${below.length > 0 ? below.map((name) => `src/${name}`).join(", ") : "no other room"}`,
  severity: "error",
  from: { path: `^src/${room}/` },
  to: { path: "^src/", pathNot: `^src/(${[room, ...below].join("|")})/` },
}));

const only = (name, room, packages) => ({
  name,
  comment: `only src/${room} may import ${packages}`,
  severity: "error",
  from: { path: "^src/", pathNot: `^src/${room}/` },
  to: { path: `^node_modules/${packages}` },
});

module.exports = {
  forbidden: [
    ...oneWay,
    {
      name: "rooms-are-listed",
      comment: "a new room needs its line in .dependency-cruiser.cjs and in docs/layout.md",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: `^src/(${[...Object.keys(rooms), ...top].join("|")})/` },
      to: {},
    },
    {
      name: "server-does-not-import-cli",
      comment: "src/cli starts the server, not the other way round",
      severity: "error",
      from: { path: "^src/server/" },
      to: { path: "^src/cli/" },
    },
    only("onnxruntime-stays-in-runtime", "runtime", "onnxruntime-(node|web|common)/"),
    only("protobuf-stays-in-onnx-and-event-files", "(onnx|train)", "@bufbuild/"),
    {
      name: "browser-entry-is-free-of-node",
      comment: "what src/browser.ts reaches must run in a page: nothing of Node, no native module",
      severity: "error",
      from: { path: "^src/browser\\.ts$" },
      to: {
        path: "^((node:)?(fs|fs/promises|path|os|crypto|url|zlib|worker_threads|stream)$|node_modules/(onnxruntime-node|sharp)/)",
        reachable: true,
      },
    },
    {
      name: "web-imports-the-browser-entry",
      comment: "web/ uses src/browser.ts, as others' pages do; the types of evaluations and runs; and the charts and tables of reports",
      severity: "error",
      from: { path: "^web/" },
      to: {
        path: "^src/",
        pathNot:
          "^src/(browser|evaluate/(evaluation|summary|run-view|report/([a-z-]*chart|charts|metric-charts|metric-tables|types)))\\.ts$",
      },
    },
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    { name: "no-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    {
      name: "no-orphans",
      comment: "a file that nothing imports and that imports nothing is dead",
      severity: "error",
      from: { orphan: true, pathNot: "^src/(index|browser|cli/main)\\.ts$" },
      to: {},
    },
    {
      name: "src-imports-dependencies-only",
      comment: "what src imports must be among the dependencies of package.json, or users of the package do not get it",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["npm", "npm-optional", "npm-peer"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    // Type-only imports count as well: a room must not even know the types of a room above it.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "require", "node", "default", "types"] },
  },
};
