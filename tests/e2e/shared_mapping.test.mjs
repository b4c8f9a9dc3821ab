// Two workers on one 600 MB model: the mapping is shared, and what a worker owns is small.
import assert from "node:assert/strict";
import { closeSync, fsyncSync, openSync, statSync } from "node:fs";
import { test } from "node:test";
import { Daemon, memoryOf, post, synth, temporaryFolder } from "./support/hearth.mjs";

const MiB = 1024; // in KiB, as smaps counts

test("one copy of the weights for two workers", async (t) => {
  const model = synth(temporaryFolder(), "big.gguf", ["--arch", "llama", "--preset", "1.1b", "--type", "q4_0"]);
  const size = statSync(model).size / 1024;
  assert.ok(size > 570 * MiB, `the model has ${size} KiB`);
  // Pages that are not yet on disk would count as dirty, whoever wrote them.
  const descriptor = openSync(model, "r");
  fsyncSync(descriptor);
  closeSync(descriptor);
  const daemon = await Daemon.start(["-m", model, "--workers", "2", "-t", "1", "-c", "1024", "--parallel", "4"]);
  t.after(() => daemon.stop());

  const answers = await Promise.all(
    [1, 2, 3, 4].map((seed) => post(`${daemon.url}/v1/completions`, { prompt: "one two three", max_tokens: 8, seed })),
  );
  for (const { status, json } of answers) assert.equal(status, 200, JSON.stringify(json));

  const pids = daemon.workers();
  assert.equal(pids.length, 2);
  const memory = pids.map((pid) => memoryOf(pid, model));
  for (const [i, { file }] of memory.entries()) {
    assert.ok(file.Rss > 0.9 * size, `worker ${i} reads the mapping: ${file.Rss} of ${size} KiB resident`);
    assert.equal(file.Private_Dirty, 0, "no private page of the mapping was written");
    assert.equal(file.Anonymous, 0);
  }
  const pss = memory.reduce((sum, { file }) => sum + file.Pss, 0);
  const resident = Math.max(...memory.map(({ file }) => file.Rss));
  t.diagnostic(`mapping: ${Math.round(resident / MiB)} MiB resident, Pss of both workers ${Math.round(pss / MiB)} MiB`);
  assert.ok(pss < 1.02 * resident, `Pss ${pss} KiB, resident once ${resident} KiB`);

  // What a worker owns: its KV pages in use, its activations, and less than 48 MiB besides. The
  // bound here leaves both out: a few short sequences touch little of either.
  for (const [i, { other }] of memory.entries()) {
    const own = other.Private_Clean + other.Private_Dirty;
    t.diagnostic(`worker ${i}: ${(own / MiB).toFixed(1)} MiB private`);
    assert.ok(own < 48 * MiB, `worker ${i} owns ${own} KiB`);
  }
});
