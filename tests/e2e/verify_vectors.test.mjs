// hearth verify over every reference model: logits, greedy tokens, likelihood.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { binaryWithGpu, hasVectors, run, vectors } from "./support/hearth.mjs";

const skip = !hasVectors && "no ../shared/vectors";
const types = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
  "MXFP4", "TQ1_0", "TQ2_0", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M"];

/** Reference models of these types. */
function referenceModels() {
  const folder = join(vectors, "models");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => join(folder, name))
    .filter((path) => {
      const expected = JSON.parse(readFileSync(path, "utf8"));
      return Object.keys(expected.tensor_types).every((type) => types.includes(type));
    })
    .map((path) => path.replace(/\.json$/, ".gguf"));
}

for (const isa of ["ref", "auto"]) {
  for (const kv of ["f16", "f32"]) {
    test(`reference models, kernels ${isa}, KV cache ${kv}`, { skip }, (t) => {
      const models = referenceModels();
      assert.ok(models.length >= 49, `found ${models.length} models`);
      const done = run(["verify", "--isa", isa, "--kv-type", kv, ...models.flatMap((path) => ["-m", path])]);
      for (const line of done.stdout.trim().split("\n")) t.diagnostic(line);
      assert.equal(done.status, 0, done.stderr);
    });
  }
}

// 44 rows at a time: warpgroups have tiles for them, warps smaller ones.
for (const warpgroups of ["0", "1"]) {
  test(`reference models on an emulated GPU, warpgroups ${warpgroups}`, { skip: skip || (!existsSync(binaryWithGpu) && "this build has no emulator") }, (t) => {
    const models = ["llama-gqa-bf16", "qbase-mix-q4_k_m"].map((name) => join(vectors, "models", `${name}.gguf`));
    const env = { ...process.env, EMULATED_GPU_WARPGROUPS: warpgroups };
    const done = run(["verify", "-ngl", "all", ...models.flatMap((path) => ["-m", path])], { program: binaryWithGpu, env, timeout: 300_000 });
    for (const line of done.stdout.trim().split("\n")) t.diagnostic(line);
    assert.equal(done.status, 0, done.stderr);
  });
}

test("file variants and files of 2023 give their base model's results", { skip }, (t) => {
  const folder = join(vectors, "formats");
  const variants = JSON.parse(readFileSync(join(folder, "formats.json"), "utf8"));
  assert.ok(variants.length >= 14);
  const args = variants.flatMap(({ file, same_results_as: base }) => {
    const expected = [join(folder, base), join(vectors, "models", base)].find(existsSync);
    return ["-m", join(folder, file), "--expect", expected];
  });
  const done = run(["verify", "--kv-type", "f32", ...args]);
  for (const line of done.stdout.trim().split("\n")) t.diagnostic(line);
  assert.equal(done.status, 0, done.stderr);
});
