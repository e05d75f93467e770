import { basename, dirname, extname, resolve } from "node:path";
import { UserError } from "../core/errors.ts";

export interface NamedModel {
  readonly name: string;
  readonly path: string;
}

/** What a model may be called: it is part of addresses and of metrics. */
const allowed = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * Models as they are named on the command line: `name=path`, or `path` alone, named by the file or, where that is `model.onnx`, by its folder.
 * Errors: UserError when a name is not allowed or occurs twice.
 */
export function nameModels(args: readonly string[]): readonly NamedModel[] {
  const models = args.map(nameModel);
  for (const [i, { name, path }] of models.entries()) {
    const other = models.findIndex((one) => one.name === name);
    if (other < i)
      throw new UserError(`two models are called "${name}": ${models[other]!.path} and ${path}. Give one another: NAME=${path}`);
  }
  return models;
}

function nameModel(arg: string): NamedModel {
  const equals = arg.indexOf("=");
  const given = arg.slice(0, Math.max(equals, 0));
  if (allowed.test(given)) return { name: given, path: arg.slice(equals + 1) };
  const file = basename(arg, extname(arg));
  const name = file === "model" ? basename(dirname(resolve(arg))) : file;
  if (allowed.test(name)) return { name, path: arg };
  throw new UserError(`"${name}" cannot be the name of a model: expected letters, digits, "_", "." and "-". Give it one: NAME=${arg}`);
}
