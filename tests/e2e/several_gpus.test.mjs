// A daemon with layers on several GPUs, which are emulated (tests/support/emulated_gpu.cpp): decided
// once for all workers, one copy of the weights on each GPU, the same answers wherever the borders
// are.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { before, test } from "node:test";
import { Daemon, binaryWithGpu, post, synth, temporaryFolder, until } from "./support/hearth.mjs";

const folder = temporaryFolder();
const skip = existsSync(binaryWithGpu) ? false : "this build has no emulator";
const env = { EMULATED_GPUS: "3" };
let model;

before(() => {
  model = synth(folder, "model.gguf", ["--type", "q8_0", "--layers", "5", "--hidden", "128", "--ffn", "256", "--heads", "4", "--kv-heads", "2", "--head-dim", "32", "--vocab-size", "1024", "--context", "512"]);
});

const run = (args) => spawnSync(binaryWithGpu, args, { encoding: "utf8", timeout: 60_000, env: { ...process.env, ...env } });
const start = (args, more = {}) =>
  Daemon.start(["-m", model, "--workers", "2", "-t", "1", "-c", "128", "--parallel", "2", ...args], { program: binaryWithGpu, env: { ...env, ...more } });
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const allReady = (daemon) =>
  until(async () => (await (await fetch(`${daemon.url}/health`)).json()).workers?.every((worker) => worker.state === "ready"), "all workers");
const ask = async (daemon) => {
  const { status, json } = await post(`${daemon.url}/v1/completions`, { prompt: "one two three", max_tokens: 4, seed: 1, logprobs: 1 });
  assert.equal(status, 200, JSON.stringify(json));
  return [json.choices[0].text, json.choices[0].logprobs.token_logprobs];
};

test("two GPUs answer as one does, with one upload to each, and a killed worker maps both", { skip }, async (t) => {
  const one = await start(["-ngl", "4", "--device", "2"]);
  t.after(() => one.stop());
  const expected = await ask(one);
  await one.stop();

  const two = await start(["-ngl", "4"], { HEARTH_DEVICE: "1,0", HEARTH_SPLIT: "3,1" });
  t.after(() => two.stop());
  await allReady(two);
  assert.match(two.log, /GPU 1, emulated: 3 of 5 layers \d/);
  assert.match(two.log, /GPU 0, emulated: 1 of 5 layers and the output/);
  assert.equal(sum(await two.metric("hearth_worker_weights_uploads_total")), 2);
  assert.equal(sum(await two.metric("hearth_worker_weights_maps_total")), 2);
  assert.deepEqual(await ask(two), expected);
  for (const pid of two.workers()) {
    process.kill(pid, "SIGKILL");
    await until(() => two.workers().length === 2 && !two.workers().includes(pid), "the next process");
    await allReady(two);
    assert.deepEqual(await ask(two), expected);
  }
  assert.equal(sum(await two.metric("hearth_worker_weights_uploads_total")), 2);
});

test("--fast-math-order: the log says who multiplies, or that nothing changes", { skip }, async (t) => {
  const daemon = await start(["-ngl", "all", "--device", "0,1", "--fast-math-order"]);
  t.after(() => daemon.stop());
  assert.match(daemon.log, /many rows by emulated products \(--fast-math-order\)/);
  await ask(daemon);
  const without = await start(["-ngl", "0", "--fast-math-order"]);
  t.after(() => without.stop());
  assert.match(without.log, /--gpu-layers is 0: .*--fast-math-order change nothing/);
  assert.doesNotMatch(without.log, /many rows by/);
});

test("a KV cache in host memory: planned there, and answers", { skip }, async (t) => {
  const daemon = await start(["-ngl", "all", "--device", "all", "--split", "1,2,2", "-nkvo"]);
  t.after(() => daemon.stop());
  assert.match(daemon.log, /the KV cache of all layers is in host memory/);
  const first = await ask(daemon);
  process.kill(daemon.workers()[0], "SIGKILL");
  assert.deepEqual(await ask(daemon), first);
});

test("run, bench and inspect take the same options", { skip }, () => {
  const gpus = ["-ngl", "all", "--device", "0,2", "--split", "2,3", "--no-kv-offload"];
  const said = run(["run", "-m", model, "-p", "one", "-n", "2", ...gpus]);
  assert.equal(said.status, 0, said.stderr);
  const benched = run(["bench", "-m", model, "-p", "4", "-n", "2", "--json", ...gpus]);
  assert.equal(benched.status, 0, benched.stderr);
  const inspected = run(["inspect", model, "--plan", "-c", "128", "--json", ...gpus]);
  assert.equal(inspected.status, 0, inspected.stderr);
  const { plan } = JSON.parse(inspected.stdout);
  assert.equal(plan.kv_on_host, true);
  assert.deepEqual(plan.devices.slice(1).map(({ index, layers, kv_bytes }) => [index, layers, kv_bytes]), [[0, 2, 0], [2, 3, 0]]);
});

test("GPUs and parts that do not match are refused by name", { skip }, () => {
  for (const [args, why] of [
    [["--device", "0,3"], /--device 0,3: GPU 3 is not there: this machine has 3, counted from 0/],
    [["--device", "0,0"], /--device: '0,0' names GPU 0 twice/],
    [["--device", "0,1", "--split", "1"], /--split 1 has 1 parts, expected one for each of the 2 GPUs of --device 0,1/],
    [["--device", "0,1", "--split", "1,0"], /--split: '1,0' has the part 0: each must be above 0/],
    [["--split", "1,-1"], /--split: '1,-1' has the part -1: each must be above 0/],
    [["--device", "first"], /--device: 'first' is not all or numbers of GPUs from 0 to 63/],
  ]) {
    const served = run(["serve", "--port", "0", "-m", model, "-ngl", "all", ...args]);
    assert.equal(served.status, 2, served.stderr);
    assert.match(served.stderr, why);
  }
});
