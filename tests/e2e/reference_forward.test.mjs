// Architectures without reference vectors against a forward pass in plain Python, on synthetic models.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { run, synth, temporaryFolder } from "./support/hearth.mjs";

const script = resolve(dirname(fileURLToPath(import.meta.url)), "../support/reference_forward.py");
const skip = spawnSync("python3", ["--version"]).status !== 0 && "no python3";
const architectures = ["falcon40b", "granite", "granitemoe", "command-r", "cohere2", "olmo2", "smollm3", "nemotron", "arcee", "llama4"];
const shape = ["--type", "f32", "--layers", "4", "--hidden", "32", "--heads", "4", "--kv-heads", "2", "--head-dim", "8", "--ffn", "48", "--vocab-size", "280"];

test("logits of architectures without vectors are those of their definitions", { skip }, (t) => {
  const folder = temporaryFolder();
  const models = architectures.map((arch) => {
    const model = synth(folder, `${arch}.gguf`, ["--arch", arch, ...shape]);
    const done = spawnSync("python3", [script, model], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    return model;
  });
  for (const isa of ["ref", "auto"]) {
    const done = run(["verify", "--isa", isa, "--kv-type", "f32", ...models.flatMap((path) => ["-m", path])]);
    for (const line of done.stdout.trim().split("\n")) t.diagnostic(line);
    assert.equal(done.status, 0, done.stderr);
  }
});
