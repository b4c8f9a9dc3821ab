// The models of ../shared/vectors with their recorded results.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { vectors } from "./hearth.mjs";

/** Path and expectation of every model. */
export function referenceModels() {
  const folder = join(vectors, "models");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => ({
      path: join(folder, name.replace(/\.json$/, ".gguf")),
      expected: JSON.parse(readFileSync(join(folder, name), "utf8")),
    }));
}
