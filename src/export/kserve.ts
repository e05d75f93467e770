import { stringify } from "yaml";
import { UserError } from "../core/errors.ts";
import type { RepositoryFile } from "./repository.ts";

export interface KserveOptions {
  readonly name: string;
  /** Where the cluster finds the repository: pvc://, s3://, gs://, ... */
  readonly storageUri: string;
}

/**
 * A KServe InferenceService that serves a Triton model repository by the Open Inference Protocol (v2). Errors: UserError for an address that
 * is none.
 */
export function inferenceService({ name, storageUri }: KserveOptions): RepositoryFile {
  if (!/^[a-z0-9+.-]+:\/\/\S+$/i.test(storageUri))
    throw new UserError(`--storage-uri ${storageUri}: expected an address like pvc://models/${name} or s3://bucket/${name}`);
  const content = stringify({
    apiVersion: "serving.kserve.io/v1beta1",
    kind: "InferenceService",
    metadata: { name },
    spec: {
      predictor: {
        minReplicas: 1,
        model: {
          modelFormat: { name: "triton" },
          protocolVersion: "v2",
          storageUri,
          resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "2", memory: "2Gi" } },
        },
      },
    },
  });
  return { path: "inference-service.yaml", content };
}
