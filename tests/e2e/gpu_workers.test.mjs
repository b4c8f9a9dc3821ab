// Several workers on one GPU: one copy of its weights, which outlives them all. The GPU is emulated
// (tests/support/emulated_gpu.cpp), its memory a memfd; everything else is the daemon as it is.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { Daemon, binaryWithGpu, freePort, memoryOf, post, sleep, synth, temporaryFolder, until } from "./support/hearth.mjs";

const memory = "/memfd:hearth-device-memory (deleted)";
const folder = temporaryFolder();
const skip = existsSync(binaryWithGpu) ? false : "this build has no emulator";
let model;

before(() => {
  model = synth(folder, "model.gguf", ["--type", "q8_0", "--layers", "4", "--hidden", "128", "--ffn", "512", "--heads", "4", "--kv-heads", "2", "--head-dim", "32", "--vocab-size", "2048", "--context", "512"]);
});

const start = (options = {}, args = []) =>
  Daemon.start(["-m", model, "--workers", "3", "-t", "1", "-c", "128", "--parallel", "2", "-ngl", "all", ...args], { program: binaryWithGpu, ...options });

const ask = async (daemon, seed) => {
  const { status, json } = await post(`${daemon.url}/v1/completions`, { prompt: "one two", max_tokens: 3, seed, logprobs: 1 });
  assert.equal(status, 200, JSON.stringify(json));
  return [json.choices[0].text, json.choices[0].logprobs.token_logprobs];
};

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const uploads = async (daemon) => sum(await daemon.metric("hearth_worker_weights_uploads_total"));
const maps = async (daemon) => sum(await daemon.metric("hearth_worker_weights_maps_total"));
const allReady = (daemon) =>
  until(async () => (await (await fetch(`${daemon.url}/health`)).json()).workers?.every((worker) => worker.state === "ready"), "all workers");

/** Descriptors of device memory that a process holds. */
const held = (pid) =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === memory;
    } catch {
      return false; // closed meanwhile
    }
  }).length;

test("three workers share one copy, and a killed one maps it again", { skip }, async (t) => {
  const daemon = await start();
  t.after(() => daemon.stop());
  await allReady(daemon);
  assert.equal(await uploads(daemon), 1);
  assert.equal(await maps(daemon), 2);
  assert.match(daemon.log, /GPU 0, emulated: 4 of 4 layers and the output \d+\.\d MiB \+ 3 times \(their KV cache/);
  const [bytes] = await daemon.metric("hearth_shared_weights_bytes");
  assert.ok(bytes > 1 << 20, `${bytes} bytes are shared`);
  const expected = await ask(daemon, 1);
  // All workers have read the weights; together they have them once.
  await Promise.all([2, 3, 4, 5, 6, 7].map((seed) => ask(daemon, seed)));
  const shares = daemon.workers().map((pid) => memoryOf(pid, memory).file);
  assert.equal(shares.length, 3);
  for (const { Size, Rss } of shares) {
    assert.ok(Size * 1024 >= bytes && Size * 1024 < bytes + 4096, `mapped: ${Size} KiB`);
    assert.ok(Rss > 0.9 * Size, `read: ${Rss} of ${Size} KiB`);
  }
  const pss = sum(shares.map(({ Pss }) => Pss));
  t.diagnostic(`weights: ${shares[0].Size} KiB, Pss of three workers ${pss} KiB`);
  assert.ok(pss <= shares[0].Size + 3, `Pss ${pss} KiB`);
  // Read-only in every worker, the uploader included.
  for (const pid of daemon.workers()) {
    const lines = readFileSync(`/proc/${pid}/maps`, "utf8").split("\n").filter((line) => line.endsWith(memory));
    assert.equal(lines.length, 1);
    assert.match(lines[0], / r--s /);
  }
  // The gateway alone holds the descriptor: none has leaked to a worker.
  assert.equal(held(daemon.process.pid), 1);
  for (const pid of daemon.workers()) assert.equal(held(pid), 0);

  // All of them in turn, the uploader among them.
  for (let i = 0; i < 3; ++i) {
    const pid = daemon.workers()[0];
    const answer = ask(daemon, 1);
    await sleep(50);
    process.kill(pid, "SIGKILL");
    assert.deepEqual(await answer, expected);
    await until(() => daemon.workers().length === 3 && !daemon.workers().includes(pid), "the next process");
    await allReady(daemon);
  }
  assert.equal(await uploads(daemon), 1);
  assert.equal(await maps(daemon), 2 + 3);
  assert.deepEqual(await daemon.metric("hearth_shared_weights_bytes"), [bytes]);
  assert.deepEqual(await ask(daemon, 1), expected);
  assert.equal(held(daemon.process.pid), 1);
});

test("every worker dies at once: the weights stay", { skip }, async (t) => {
  const daemon = await start();
  t.after(() => daemon.stop());
  await allReady(daemon);
  const expected = await ask(daemon, 1);
  const before = daemon.workers();
  for (const pid of before) process.kill(pid, "SIGKILL");
  await until(() => daemon.workers().length === 3 && !daemon.workers().some((pid) => before.includes(pid)), "new processes");
  await allReady(daemon);
  assert.equal(await uploads(daemon), 1);
  assert.equal(await maps(daemon), 2 + 3);
  assert.deepEqual(await ask(daemon, 1), expected);
});

test("health and systemd are told how far the upload is; an uploader that dies is followed", { skip }, async (t) => {
  const port = await freePort();
  const socket = join(folder, "notify");
  const listener = spawn("python3", ["-c", `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(s.recv(4096).decode(), flush=True)`, socket], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => listener.kill());
  let notified = "";
  listener.stdout.on("data", (text) => (notified += text));
  await until(() => notified.includes("bound"), "the socket");

  const daemon = await start({ port, waitReady: false, env: { EMULATED_GPU_UPLOAD_PAUSE_MS: "150", NOTIFY_SOCKET: socket } });
  t.after(() => daemon.stop());
  const progress = async () => {
    const answer = await fetch(`${daemon.url}/health`).catch(() => null); // not listening yet
    return answer && { code: answer.status, ...(await answer.json()) };
  };
  const some = await until(async () => {
    const report = await progress();
    return report?.progress > 0 && report;
  }, "progress");
  assert.equal(some.code, 503);
  assert.equal(some.status, "loading");
  assert.equal(some.error.type, "server_error");
  assert.ok(some.progress < 1 && some.loaded_bytes < some.total_bytes, JSON.stringify(some));
  // The uploader has the memory mapped for writing.
  const uploader = daemon.workers().find((pid) => readFileSync(`/proc/${pid}/maps`, "utf8").includes(memory));
  process.kill(uploader, "SIGKILL");
  let last = 0;
  const done = await until(async () => {
    const report = await progress();
    if (report?.progress !== undefined) last = report.progress;
    return report?.code === 200 && report;
  }, "the model");
  assert.ok(last > 0, "the next one has told of its upload");
  assert.equal(done.progress, undefined);
  await allReady(daemon);
  assert.equal(await uploads(daemon), 1);
  const lines = notified.split("\n");
  assert.ok(lines.some((line) => /^STATUS=loading model: \d+ % of \d+\.\d GiB$/.test(line)), notified);
  assert.ok(lines.includes("EXTEND_TIMEOUT_USEC=30000000"));
  assert.ok(lines.includes("READY=1"));
});

test("a daemon that is to end during an upload ends at once", { skip }, async (t) => {
  const daemon = await start({ port: await freePort(), waitReady: false, env: { EMULATED_GPU_UPLOAD_PAUSE_MS: "300" } });
  t.after(() => daemon.process.kill("SIGKILL"));
  const workers = await until(async () => {
    const report = await fetch(`${daemon.url}/health`).then((answer) => answer.json()).catch(() => null);
    return report?.progress !== undefined && daemon.workers();
  }, "an upload");
  assert.equal(workers.length, 3);
  assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  assert.doesNotMatch(daemon.log, /cannot load|error/);
  for (const pid of workers) assert.equal(existsSync(`/proc/${pid}`), false);
});

test("memory that a worker cannot map is uploaded again", { skip }, async (t) => {
  const broken = join(folder, "broken");
  const daemon = await start({ env: { EMULATED_GPU_BAD_MAPS: broken } });
  t.after(() => daemon.stop());
  await allReady(daemon);
  const expected = await ask(daemon, 1);
  writeFileSync(broken, "");
  process.kill(daemon.workers()[0], "SIGKILL");
  await until(() => !existsSync(broken), "a worker that meets the broken memory");
  await allReady(daemon);
  assert.equal(await uploads(daemon), 2);
  assert.match(daemon.log, /the shared weights are broken; they are uploaded again/);
  assert.deepEqual(await ask(daemon, 1), expected);
  assert.equal(held(daemon.process.pid), 1);
});

test("a model file that was replaced is not mixed with the weights of the old one", { skip }, async (t) => {
  const replaced = join(folder, "replaced.gguf");
  copyFileSync(model, replaced);
  const daemon = await Daemon.start(["-m", replaced, "--workers", "2", "-t", "1", "-c", "128", "-ngl", "all"], { program: binaryWithGpu });
  t.after(() => daemon.stop());
  await allReady(daemon);
  const other = join(folder, "other.gguf");
  copyFileSync(model, other);
  renameSync(replaced, join(folder, "old.gguf"));
  renameSync(other, replaced);
  process.kill(daemon.workers()[0], "SIGKILL");
  await until(() => /cannot load the model: the model file has changed since it was loaded/.test(daemon.log), "the refusal");
  assert.equal((await fetch(`${daemon.url}/health`)).status, 200); // the other one serves
  await ask(daemon, 1);
  rmSync(replaced);
  renameSync(join(folder, "old.gguf"), replaced); // the file that was loaded
  await allReady(daemon);
  assert.equal(await uploads(daemon), 1);
});

test("a GPU whose memory cannot be shared: each worker has a copy, and the log says so", { skip }, async (t) => {
  const daemon = await start({ env: { EMULATED_GPU_SHARING: "0" } });
  t.after(() => daemon.stop());
  await allReady(daemon);
  assert.match(daemon.log, /each worker has a copy of its own of the weights on emulated: EMULATED_GPU_SHARING is 0/);
  assert.match(daemon.log, /the output \d+\.\d MiB \+ 1 times \(their KV cache/); // of a third of the GPU
  assert.equal((await uploads(daemon)) + (await maps(daemon)), 0);
  assert.deepEqual(await daemon.metric("hearth_shared_weights_bytes"), [0]);
  for (const pid of daemon.workers()) assert.equal(memoryOf(pid, memory).file.Size, undefined);
  await ask(daemon, 1);
});
