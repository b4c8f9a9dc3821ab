// A worker dies: it is back at once, and the other workers' streams do not notice.
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

test("SIGKILL of one worker: its streams end with an error, the others' are untouched", async (t) => {
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

  let whole = 0;
  let failed = 0;
  for (const [i, events] of (await Promise.all(running)).entries()) {
    const error = events.find((event) => event.error);
    if (error) {
      ++failed;
      assert.ok(expected[i].startsWith(textOf(events)), "what was sent before the death is a prefix");
    } else {
      ++whole;
      assert.equal(events.at(-1), "[DONE]");
      assert.equal(textOf(events), expected[i]);
    }
  }
  t.diagnostic(`${whole} streams untouched, ${failed} ended with an error event`);
  assert.ok(whole >= 1 && failed >= 1, `both workers had streams: ${whole} whole, ${failed} failed`);

  // Both serve again.
  const again = await Promise.all(seeds.map(async (seed) => textOf(await stream(url, request(seed)))));
  assert.deepEqual(again, expected);
});

test("a killed worker's plain request gets a clear 503", async () => {
  const url = `${daemon.url}/v1/completions`;
  const pending = [1, 2, 3, 4].map((seed) => post(url, { ...request(seed), max_tokens: 400 }));
  await until(async () => (await daemon.metric("vllm:num_requests_running")).reduce((a, b) => a + b, 0) >= 4, "four running requests");
  for (const pid of daemon.workers()) process.kill(pid, "SIGKILL");
  for (const { status, headers, json } of await Promise.all(pending)) {
    assert.equal(status, 503);
    assert.ok(headers.get("retry-after"));
    assert.match(json.error.message, /worker/);
  }
  await until(async () => (await fetch(`${daemon.url}/health`)).ok, "/health");
  assert.equal((await post(url, request(1))).status, 200);
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
