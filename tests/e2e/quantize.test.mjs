// hearth quantize, convert and verify --text: what they print and how they end.
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { builtinModel, run, synth, temporaryFolder } from "./support/hearth.mjs";

const folder = temporaryFolder();
const at = (name) => join(folder, name);

test("a quantized model is smaller, says what it holds and still answers", () => {
  const done = run(["quantize", builtinModel, at("small.gguf"), "q4_0"]);
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, new RegExp(`${statSync(at("small.gguf")).size} bytes, 4\\.\\d\\d bits a weight`));
  assert.match(done.stderr, /was q8_0 already/);
  assert.ok(statSync(at("small.gguf")).size < statSync(builtinModel).size);
  assert.match(run(["inspect", at("small.gguf"), "--tensors"]).stdout, /token_embd\.weight\s+q4_0/);
});

test("wrong usage ends with 2, what cannot be read with 1, and the input stays", () => {
  const before = readFileSync(builtinModel);
  const unknown = run(["quantize", builtinModel, at("x.gguf"), "q9"]);
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /TYPE: 'q9', expected .*Q4_K_M/);
  const codeBook = run(["quantize", builtinModel, at("x.gguf"), "iq2_xs"]);
  assert.equal(codeBook.status, 2);
  assert.match(codeBook.stderr, /TYPE: 'iq2_xs', expected .*MXFP4.*TQ1_0/);
  const same = run(["quantize", builtinModel, builtinModel, "q4_0"]);
  assert.equal(same.status, 2);
  assert.match(same.stderr, /a file of the model that is read/);
  assert.equal(run(["convert", at("nothing.gguf"), at("x.gguf")]).status, 1);
  assert.ok(!existsSync(at("x.gguf")));
  assert.ok(readFileSync(builtinModel).equals(before));
});

test("convert keeps weights, and perplexity is the same to the last digit", () => {
  assert.equal(run(["convert", builtinModel, at("copy.gguf")]).status, 0);
  writeFileSync(at("text.txt"), "One line of text, and another. ".repeat(40));
  const done = run(["verify", "-m", builtinModel, "-m", at("copy.gguf"), "--text", at("text.txt"), "-c", "64", "--json"]);
  assert.equal(done.status, 0, done.stderr);
  const [original, copy] = JSON.parse(done.stdout);
  assert.ok(original.scored_tokens > 100 && original.scored_tokens <= original.text_tokens);
  assert.ok(Math.abs(original.perplexity / Math.exp(original.mean_nll) - 1) < 1e-9);
  assert.ok(original.mean_nll > 0);
  assert.equal(copy.mean_nll, original.mean_nll);
  assert.equal(original.mean_kl, null);
  assert.notEqual(run(["verify", "-m", builtinModel, "-c", "64"]).status, 0);
});

test("divergence from a base grows as types get smaller", () => {
  writeFileSync(at("text.txt"), "One line of text, and another. ".repeat(40));
  const against = (base, ...models) => run(["verify", ...models.flatMap((model) => ["-m", model]), "--base", base, "--text", at("text.txt"), "-c", "64", "--json"]);
  for (const type of ["Q6_K", "Q4_0"]) assert.equal(run(["quantize", builtinModel, at(`${type}.gguf`), type]).status, 0);
  const [same, large, small] = JSON.parse(against(builtinModel, builtinModel, at("Q6_K.gguf"), at("Q4_0.gguf")).stdout);
  assert.equal(same.mean_kl, 0);
  assert.ok(large.mean_kl > 0 && small.mean_kl > 2 * large.mean_kl, `${large.mean_kl} ${small.mean_kl}`);
  const alone = JSON.parse(run(["verify", "-m", at("Q4_0.gguf"), "--text", at("text.txt"), "-c", "64", "--json"]).stdout)[0];
  assert.ok(Math.abs(alone.mean_nll - small.mean_nll) < 1e-12 * alone.mean_nll);
  const other = synth(temporaryFolder(), "other.gguf", ["--type", "f32", "--vocab-size", "512"]);
  assert.match(against(other, builtinModel).stderr, /has 512 logits/);
});
