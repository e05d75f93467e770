import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyInstance {
    /** What a path may be asked with; nothing for one that is not here. */
    readonly methodsOf: (path: string) => readonly string[];
  }
}

/**
 * Keeps a list of the routes that `app` gets from now on: Fastify itself knows a route by its method only, and so takes a path asked for with
 * another one for a path that is not here. A slash at the end makes no difference. Those of folders (`/*`) are left out, whose files are known when they are asked for.
 */
export function noteMethods(app: FastifyInstance): void {
  const methods = new Map<string, { readonly paths: RegExp; readonly names: string[] }>();
  app.addHook("onRoute", ({ url, method }) => {
    // The page's own path.
    const path = url === "/*" ? "/" : url;
    if (path.includes("*")) return;
    const noted = methods.get(path) ?? { paths: new RegExp(`^${path.replace(/[.]/g, "\\.").replace(/:\w+/g, "[^/]+")}$`), names: [] };
    noted.names.push(...[method].flat());
    methods.set(path, noted);
  });
  app.decorate("methodsOf", (asked: string) => {
    const path = asked.replace(/(?<=.)\/$/, "");
    return [...methods.values()].find(({ paths }) => paths.test(path))?.names.toSorted() ?? [];
  });
}
