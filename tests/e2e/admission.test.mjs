// Who gets in, who must wait, who has gone: limits, cancellation, reloads.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { Daemon, post, smallModel, stream, temporaryFolder, until } from "./support/hearth.mjs";

let folder;
let model;
before(() => {
  folder = temporaryFolder();
  model = smallModel(folder);
});

const serve = (...more) => Daemon.start(["-m", model, "--workers", "1", "-t", "1", "-c", "4096", ...more]);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const long = { prompt: "The river", max_tokens: 4000, seed: 1 };

/** A request that can be given up. */
function abortable(daemon, body, streamed) {
  const controller = new AbortController();
  const done = fetch(`${daemon.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: streamed }),
    signal: controller.signal,
  })
    .then((response) => response.text())
    .catch(() => "aborted");
  return { abort: () => controller.abort(), done };
}

const running = async (daemon) => sum(await daemon.metric("vllm:num_requests_running"));
const waiting = async (daemon) => sum(await daemon.metric("vllm:num_requests_waiting"));
const cancelled = async (daemon) => sum(await daemon.metric("hearth_cancelled_requests_total"));
const left = async (daemon) => sum(await daemon.metric("hearth_cancelled_in_engine_total"));

for (const streamed of [true, false]) {
  const how = streamed ? "streamed" : "plain";
  test(`a ${how} request whose client goes away leaves the queue, the prefill, the decode`, async () => {
    const daemon = await serve("--parallel", "1", "--prefill-chunk", "32");
    // Decode.
    const decoding = abortable(daemon, long, streamed);
    await until(async () => sum(await daemon.metric("vllm:generation_tokens_total")) > 5, "tokens");
    // Queue: there is one place, and it is taken.
    const queued = abortable(daemon, { ...long, seed: 2 }, streamed);
    await until(async () => (await waiting(daemon)) === 1, "a waiting request");
    queued.abort();
    await until(async () => (await cancelled(daemon)) === 1 && (await left(daemon)) === 1, "it to leave the queue");
    assert.equal(await running(daemon), 1);
    decoding.abort();
    await until(async () => (await left(daemon)) === 2 && (await running(daemon)) === 0, "it to leave the batch");
    // Prefill: a prompt of many chunks.
    const before = sum(await daemon.metric("vllm:generation_tokens_total"));
    const prefilling = abortable(daemon, { prompt: Array.from({ length: 4000 }, (_, i) => 300 + (i % 3000)), max_tokens: 8 }, streamed);
    await until(async () => (await running(daemon)) === 1, "the prompt to be read");
    prefilling.abort();
    await until(async () => (await left(daemon)) === 3 && (await running(daemon)) === 0, "it to leave the prefill");
    assert.equal(sum(await daemon.metric("vllm:generation_tokens_total")), before, "it never came to a token");
    await Promise.all([decoding, queued, prefilling].map((r) => r.done));
    assert.equal(await cancelled(daemon), 3);
    await daemon.stop();
  });
}

test("a full queue, a key's limit and a wait that is too long are refused with what to do", async () => {
  const keys = join(folder, "limit-keys");
  writeFileSync(keys, "one:sk-one\ntwo:sk-two\nthree:sk-three\n");
  const daemon = await serve("--parallel", "1", "--max-queue", "2", "--max-requests-per-key", "2", "--queue-timeout", "1", "--api-key-file", keys);
  const url = `${daemon.url}/v1/completions`;
  const ask = (key) => post(url, { prompt: "x", max_tokens: 1 }, { authorization: `Bearer ${key}` });
  const live = async () => sum((await (await fetch(`${daemon.url}/health`)).json()).workers.map((worker) => worker.requests));
  // Nothing begins to run: the worker stands still, and is not given up before two seconds.
  const [stopped] = daemon.workers();
  process.kill(stopped, "SIGSTOP");
  const waiting = [];
  for (const key of ["sk-one", "sk-one", "sk-two"]) {
    waiting.push(ask(key));
    await until(async () => (await live()) === waiting.length, "the request to be taken");
    if (waiting.length !== 2) continue;
    const refused = await ask("sk-one");
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get("retry-after")) >= 1);
    assert.match(refused.json.error.message, /2 requests of this key/);
  }
  const full = await ask("sk-three");
  assert.equal(full.status, 429);
  assert.ok(Number(full.headers.get("retry-after")) >= 1);
  assert.match(full.json.error.message, /3 requests are running or waiting/);
  for (const { status, json, headers } of await Promise.all(waiting)) {
    assert.equal(status, 503);
    assert.match(json.error.message, /has not begun to run within 1000 ms/);
    assert.ok(Number(headers.get("retry-after")) >= 1);
  }
  // It goes on, or on a slow machine was replaced meanwhile.
  if (daemon.workers().includes(stopped)) process.kill(stopped, "SIGCONT");
  await until(async () => (await ask("sk-three")).status === 200, "the worker, or its successor");
  await daemon.stop();
});

test("SIGHUP: new keys and log level at once, running streams unharmed, a broken file changes nothing", async () => {
  const config = join(folder, "hearth.toml");
  const keys = join(folder, "keys");
  const configure = (level, port = "") => writeFileSync(config, `[access]\napi_key_file = "${keys}"\n[log]\nlevel = "${level}"\n${port}`);
  writeFileSync(keys, "alice:sk-alice\n");
  configure("warn");
  const daemon = await serve("--config", config);
  const url = `${daemon.url}/v1/completions`;
  const as = (key) => post(url, { prompt: "x", max_tokens: 1 }, { authorization: `Bearer ${key}` });
  const reload = async (said) => {
    daemon.log = "";
    daemon.process.kill("SIGHUP");
    await until(() => said.test(daemon.log), `the log to say ${said}`);
  };
  const streaming = fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer sk-alice" },
    body: JSON.stringify({ prompt: "A child", max_tokens: 200, seed: 3, stream: true }),
  }).then((response) => response.text());

  assert.equal((await as("sk-bob")).status, 401);
  writeFileSync(keys, "bob:sk-bob\n");
  configure("info", "[server]\nmax_connections = 7\n");
  await reload(/keys and log level are read again/);
  assert.match(daemon.log, /--max-connections has changed, which takes a restart/);
  assert.equal((await as("sk-bob")).status, 200);
  assert.equal((await as("sk-alice")).status, 401);
  assert.match(await streaming, /data: \[DONE\]/);

  writeFileSync(config, "[log]\nlevel = 3\n");
  await reload(/everything stays as it was/);
  assert.equal((await as("sk-bob")).status, 200);

  // The workers heard of the level too: one that is asked to end says so only at debug.
  configure("debug");
  await reload(/keys and log level are read again/);
  process.kill(daemon.workers()[0], "SIGKILL");
  await until(() => /debug \[gateway\]/.test(daemon.log), "a debug line");
  await daemon.stop();
});

test("requests of lower priority wait for the others", async () => {
  const daemon = await serve("--parallel", "1");
  const url = `${daemon.url}/v1/completions`;
  const order = [];
  const ask = (name, body) => stream(url, { prompt: name, max_tokens: 4, ...body }).then(() => order.push(name));
  const first = ask("first", { max_tokens: 200 });
  await until(async () => (await running(daemon)) === 1, "the place to be taken");
  const later = ask("later", { priority: 100 });
  await until(async () => (await waiting(daemon)) === 1, "one to wait");
  const sooner = ask("sooner", {});
  await Promise.all([first, later, sooner]);
  assert.deepEqual(order, ["first", "sooner", "later"]);
  const refused = await post(url, { prompt: "x", priority: -1 });
  assert.equal(refused.status, 400);
  assert.equal(refused.json.error.param, "priority");
  await daemon.stop();
});
