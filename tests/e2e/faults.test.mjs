// Workers that crash, give up, are killed or hang at a token of one request (--fault): the request
// that does it once is answered as ever, the one that does it again and again is given up.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Daemon, post, smallModel, sleep, stream, temporaryFolder, textOf, until } from "./support/hearth.mjs";

let model;
before(() => {
  model = smallModel(temporaryFolder());
});

const serve = (...more) => Daemon.start(["-m", model, "-t", "1", "-c", "512", "--parallel", "8", ...more]);
const sum = (values) => values.reduce((a, b) => a + b, 0);

/** Seconds. Where nothing hangs, a busy machine must not look like it. */
const deadline = (kind) => (kind === "hang" ? "1" : "30");

const poisonTokens = 37; // of its prompt: what --fault knows it by
const poison = { prompt: Array.from({ length: poisonTokens }, (_, i) => 300 + i), max_tokens: 24, seed: 5, logprobs: 1 };
const others = [1, 2, 3, 4, 5].map((seed) => ({ prompt: `There were ${seed} lights over the river`, max_tokens: 60, seed }));

/** The choices of a plain answer and the text of a streamed one, undisturbed. */
async function undisturbed() {
  const daemon = await serve("--workers", "1");
  const url = `${daemon.url}/v1/completions`;
  const plain = (await post(url, poison)).json.choices;
  const texts = await Promise.all(others.map(async (body) => textOf(await stream(url, body))));
  await daemon.stop();
  return { plain, texts };
}

for (const kind of ["abort", "exit", "kill", "hang"]) {
  test(`${kind} at the first, a middle and the last token: the answer is the undisturbed one`, async () => {
    const expected = await undisturbed();
    for (const token of [0, 11, 23]) {
      const daemon = await serve("--workers", "2", "--worker-deadline", deadline(kind), "--fault", `${kind}@${poisonTokens}:${token}/0`);
      const url = `${daemon.url}/v1/completions`;
      // Worker 0 is the first choice among equals, so that one of them is struck.
      await until(async () => sum(await daemon.metric("hearth_worker_up")) === 2, "both workers");
      const answers = await Promise.all([post(url, poison), post(url, poison)]);
      for (const { status, json } of answers) {
        assert.equal(status, 200, JSON.stringify(json));
        assert.deepEqual(json.choices, expected.plain, `token ${token}`);
      }
      // The dead worker's requests move at once; its successor is counted when it is started.
      await until(async () => sum(await daemon.metric("hearth_worker_restarts_total")) >= 1, "the restart");
      assert.equal(sum(await daemon.metric("hearth_worker_restarts_total")), 1);
      assert.equal(sum(await daemon.metric("hearth_worker_hangs_total")), kind === "hang" ? 1 : 0);
      assert.ok(sum(await daemon.metric("hearth_migrated_requests_total")) >= 1);
      await daemon.stop();
    }
  });
}

for (const kind of ["abort", "hang"]) {
  test(`a request that makes every worker ${kind} is given up, the streams beside it are whole`, async () => {
    const expected = await undisturbed();
    const daemon = await serve("--workers", "3", "--worker-deadline", deadline(kind), "--fault", `${kind}@${poisonTokens}:4`);
    const url = `${daemon.url}/v1/completions`;
    const beside = others.map((body) => stream(url, body));
    const { status, json } = await post(url, poison);
    assert.equal(status, 500);
    assert.equal(json.error.code, "request_failed_repeatedly");
    for (const [i, events] of (await Promise.all(beside)).entries()) {
      assert.equal(events.at(-1), "[DONE]");
      assert.equal(textOf(events), expected.texts[i]);
    }
    await until(async () => sum(await daemon.metric("hearth_worker_up")) === 3, "all workers");
    assert.equal(sum(await daemon.metric("hearth_worker_restarts_total")), 2, "two workers died, not more");
    // The stream of such a request ends with the error in it.
    const events = await stream(url, poison);
    assert.equal(events.at(-1).error?.code ?? events.at(-2)?.error?.code, "request_failed_repeatedly");
    // And the daemon serves on.
    await until(async () => (await fetch(`${daemon.url}/health`)).ok, "/health");
    assert.equal(textOf(await stream(url, others[0])), expected.texts[0]);
    await daemon.stop();
  });
}

test("workers that die at once again and again are started ever later, and the gateway stays up", async () => {
  const daemon = await serve("--workers", "1");
  const died = [];
  for (let round = 0; round < 4; ++round) {
    const [pid] = await until(() => (daemon.workers().length === 1 ? daemon.workers() : null), "a process");
    process.kill(pid, "SIGABRT");
    died.push(Date.now());
    await until(() => !daemon.workers().includes(pid), "its end");
    assert.equal((await fetch(`${daemon.url}/livez`)).status, 200);
  }
  // 0, 250, 500 ms …: what lay between the last two deaths is longer than between the first two.
  assert.ok(died[3] - died[2] > died[1] - died[0], `deaths at ${died.map((t) => t - died[0])}`);
  await until(async () => (await fetch(`${daemon.url}/health`)).ok, "/health");
  assert.equal((await post(`${daemon.url}/v1/completions`, others[0])).status, 200);
  await sleep(10);
  assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
});

test("a fault that is none is refused", async () => {
  await assert.rejects(serve("--fault", "melt@1:1"), /--fault: 'melt@1:1' is not/);
});
