// Broken model files: exit code 1 and one line that names the file; never a crash.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { builtinModel, hasVectors, run, temporaryFolder, vectors } from "./support/hearth.mjs";

function assertRefused(path) {
  const done = run(["serve", "--port", "0", "-m", path], { timeout: 20_000 });
  assert.equal(done.signal, null, `${path}: killed by ${done.signal}\n${done.stderr}`);
  assert.equal(done.status, 1, `${path}: exit code ${done.status}\n${done.stderr}`);
  const lines = done.stderr.trim().split("\n");
  assert.equal(lines.length, 1, `${path}: more than one line\n${done.stderr}`);
  assert.match(lines[0], new RegExp(path.split("/").pop().replace(/[.+]/g, "\\$&")));
}

test("a file that is not there, and one cut in the middle", () => {
  const folder = temporaryFolder();
  assertRefused(join(folder, "absent.gguf"));
  const whole = readFileSync(builtinModel);
  for (const size of [0, 3, 20, 1000, whole.length >> 1, whole.length - 1]) {
    const path = join(folder, `cut-${size}.gguf`);
    writeFileSync(path, whole.subarray(0, size));
    assertRefused(path);
  }
});

test("every malformed file of the vectors", { skip: !hasVectors && "no ../shared/vectors" }, (t) => {
  const folder = join(vectors, "formats/malformed");
  const { files } = JSON.parse(readFileSync(join(folder, "malformed.json"), "utf8"));
  let refused = 0;
  for (const { file, peer } of files) {
    if (peer.rc === 0) continue; // may load: its description says so
    assertRefused(join(folder, file));
    ++refused;
  }
  t.diagnostic(`${refused} of ${files.length} malformed files refused with one line each`);
});
