// A worker dies: it is back at once, and no stream ends differently for it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, post, sleep, stream, synth, temporaryFolder, textOf, until } from "./support/hearth.mjs";

// Large enough that a stream takes a second: there must be time to kill something.
let model;
let daemon;
before(async () => {
  model = synth(temporaryFolder(), "some.gguf", ["--arch", "llama", "--preset", "120m", "--type", "q4_0"]);
  daemon = await Daemon.start(["-m", model, "--workers", "2", "-t", "1", "-c", "512", "--parallel", "8"]);
});
after(() => daemon.stop());

const request = (seed) => ({
  prompt: `Once upon a time there were ${seed} lights.`,
  max_tokens: 80,
  seed,
});

test("SIGKILL of one worker in mid-stream: every stream ends as if nothing had happened", async (t) => {
  const url = `${daemon.url}/v1/completions`;
  const seeds = [1, 2, 3, 4, 5, 6];
  const expected = await Promise.all(seeds.map(async (seed) => textOf(await stream(url, request(seed)))));

  const before = daemon.workers();
  assert.equal(before.length, 2);
  let tokens = 0;
  const running = seeds.map((seed) => stream(url, request(seed), () => ++tokens));
  await until(() => tokens > 30, "the streams to be on their way");
  process.kill(before[0], "SIGKILL");
  const killed = Date.now();

  await until(() => daemon.workers().length === 2 && !daemon.workers().includes(before[0]), "a new process");
  await until(async () => (await daemon.metric("hearth_worker_up")).filter((up) => up === 1).length === 2, "both workers up");
  t.diagnostic(`the killed worker was back and ready after ${Date.now() - killed} ms`);

  for (const [i, events] of (await Promise.all(running)).entries()) {
    assert.equal(events.at(-1), "[DONE]");
    assert.equal(textOf(events), expected[i]);
  }
  const migrated = (await daemon.metric("hearth_migrated_requests_total")).reduce((a, b) => a + b, 0);
  t.diagnostic(`${migrated} streams went on elsewhere`);
  assert.ok(migrated >= 1);
});

test("SIGKILL of all workers: plain requests wait for the restarted ones", async () => {
  const url = `${daemon.url}/v1/completions`;
  const seeds = [1, 2, 3, 4];
  const long = (seed) => ({ ...request(seed), max_tokens: 200 });
  const expected = await Promise.all(seeds.map(async (seed) => (await post(url, long(seed))).json.choices));
  const pending = seeds.map((seed) => post(url, long(seed)));
  await until(async () => (await daemon.metric("vllm:num_requests_running")).reduce((a, b) => a + b, 0) >= 4, "four running requests");
  for (const pid of daemon.workers()) process.kill(pid, "SIGKILL");
  for (const [i, { status, json }] of (await Promise.all(pending)).entries()) {
    assert.equal(status, 200);
    assert.deepEqual(json.choices, expected[i]);
  }
  await until(async () => (await fetch(`${daemon.url}/health`)).ok, "/health");
});

test("SIGSTOP of a worker: it is replaced in under five seconds and its streams end as ever", async (t) => {
  const own = await Daemon.start(["-m", model, "--workers", "2", "-t", "1", "-c", "512", "--worker-deadline", "1"]);
  const url = `${own.url}/v1/completions`;
  const expected = textOf(await stream(url, request(7)));
  const stopped = own.workers();
  const running = [1, 2].map(() => stream(url, request(7)));
  await until(async () => (await own.metric("vllm:num_requests_running")).every((n) => n === 1), "a stream at each");
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  const begun = Date.now();
  for (const events of await Promise.all(running)) {
    assert.equal(events.at(-1), "[DONE]");
    assert.equal(textOf(events), expected);
  }
  t.diagnostic(`both streams were whole ${Date.now() - begun} ms after the stop`);
  assert.ok(own.workers().every((pid) => !stopped.includes(pid)));
  assert.deepEqual(await own.metric("hearth_worker_hangs_total"), [1, 1]);
  await own.stop();
});

test("SIGTERM: running streams finish, the exit code is 0 and no worker is left", async () => {
  const own = await Daemon.start(["-m", model, "--workers", "2", "-t", "1", "-c", "512"]);
  const pids = own.workers();
  let tokens = 0;
  const running = stream(`${own.url}/v1/completions`, request(9), () => ++tokens);
  await until(() => tokens > 5, "a running stream");
  own.process.kill("SIGTERM");
  await sleep(20);
  const events = await running;
  assert.equal(events.at(-1), "[DONE]");
  assert.deepEqual(await own.exited, { code: 0, signal: null });
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});
