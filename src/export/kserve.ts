import { join } from "node:path";
import { stringify } from "yaml";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../core/files.ts";

export interface KserveOptions {
  readonly name: string;
  /** Where the cluster finds the repository: pvc://, s3://, gs://, ... */
  readonly storageUri: string;
}

/** A KServe InferenceService that serves a Triton model repository by the Open Inference Protocol (v2). */
export function inferenceService({ name, storageUri }: KserveOptions): string {
  if (!/^[a-z0-9+.-]+:\/\/\S+$/i.test(storageUri))
    throw new UserError(`--storage-uri ${storageUri}: expected an address like pvc://models/${name} or s3://bucket/${name}`);
  return stringify({
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
}

export function writeInferenceService(out: string, options: KserveOptions): string {
  const path = join(out, "inference-service.yaml");
  writeFileAtomic(path, inferenceService(options));
  return path;
}
