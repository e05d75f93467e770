import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { packageVersion } from "../core/version.ts";

/** Its own files only: it works without internet. */
const policy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/** Either will do. */
const securitySchemes = {
  bearer: { type: "http", scheme: "bearer" },
  header: { type: "apiKey", in: "header", name: "X-API-Key" },
} as const;

/** /docs: OpenAPI of all routes registered after this; /docs/json is the document. */
export async function addDocs(app: FastifyInstance, hasApiKey: boolean): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "sdim",
        version: packageVersion(),
        description:
          'Image classifiers that can say "I don\'t know". Errors are `{"error":{"code","message"}}`; those of /v2 `{"error":"message"}`, as its protocol has it. A path asked for with another method than it has is answered by 405 with `Allow`.',
      },
      ...(hasApiKey ? { components: { securitySchemes }, security: Object.keys(securitySchemes).map((name) => ({ [name]: [] })) } : {}),
    },
  });
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: policy, uiConfig: { validatorUrl: null } });
}
