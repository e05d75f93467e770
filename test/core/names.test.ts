import { expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { oneOf, requireKnownKeys } from "../../src/core/names.ts";

const datasets = ["mnist", "fashion-mnist", "cifar10"] as const;

it("oneOf gives back a known name", () => {
  expect(oneOf("data set", "cifar10", datasets)).toBe("cifar10");
});

it("oneOf names the nearest match and all known names", () => {
  expect(() => oneOf("data set", "fashionmnist", datasets)).toThrow(
    new UserError('unknown data set "fashionmnist": did you mean "fashion-mnist"? Known: mnist, fashion-mnist, cifar10'),
  );
});

it("oneOf guesses nothing where nothing is near", () => {
  expect(() => oneOf("data set", "nope", datasets)).toThrow(new UserError('unknown data set "nope": Known: mnist, fashion-mnist, cifar10'));
  expect(() => oneOf("data set", "..", [])).toThrow(UserError);
});

it("oneOf does not ignore case or spaces", () => {
  expect(() => oneOf("data set", "MNIST", datasets)).toThrow('did you mean "mnist"?');
  expect(() => oneOf("data set", "mnist ", datasets)).toThrow('did you mean "mnist"?');
});

it("requireKnownKeys names the key that is none, and the nearest", () => {
  expect(() => requireKnownKeys("classify", { percentil: 2 }, ["batchSize", "percentile"])).toThrow(
    new UserError('unknown option of classify "percentil": did you mean "percentile"? Known: batchSize, percentile'),
  );
  requireKnownKeys("classify", { batchSize: undefined }, ["batchSize", "percentile"]);
});
