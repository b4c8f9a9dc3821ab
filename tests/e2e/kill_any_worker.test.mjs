// Kill any worker at any moment: every answer is what it would have been.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Daemon, post, sleep, stream, synth, temporaryFolder } from "./support/hearth.mjs";

const seed = Number(process.env.E2E_SEED ?? 20261122);
const requestCount = 220;
const minimumKills = 50;
const clients = 12;

/** A small deterministic generator (mulberry32), so that a failing run can be repeated. */
function randomFrom(start) {
  let state = start >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { next, below: (limit) => Math.floor(next() * limit) };
}

const words = "the river ends where a child counted lights over and over until morning came".split(" ");

/** Requests of every kind that can be replayed: greedy, sampled, n, logprobs, penalties, stop, echo, chat. */
function mixedRequests(count) {
  const random = randomFrom(seed);
  return Array.from({ length: count }, (_, i) => {
    const prompt = Array.from({ length: 3 + random.below(60) }, () => words[random.below(words.length)]).join(" ");
    const body = { max_tokens: 8 + random.below(60), seed: i };
    const kind = i % 8;
    if (kind === 0) body.temperature = 0;
    if (kind === 1) Object.assign(body, { top_p: 0.9, top_k: 40 });
    if (kind === 2) body.n = 4;
    if (kind === 3) Object.assign(body, { frequency_penalty: 0.8, presence_penalty: 0.4, repetition_penalty: 1.2 });
    if (kind === 4) body.stop = ["e", " th", "ou"];
    if (kind === 7) body.min_p = 0.05;
    if (kind === 6) {
      Object.assign(body, { messages: [{ role: "user", content: prompt }], logprobs: true, top_logprobs: 3 });
      return { path: "/v1/chat/completions", streamed: i % 3 !== 0, body };
    }
    if (kind === 5) Object.assign(body, { echo: true, logprobs: 2 });
    body.prompt = prompt;
    return { path: "/v1/completions", streamed: i % 3 !== 0, body };
  });
}

/** What the answer says, without what may differ from run to run: ids, times, cache hits. */
function essence(events) {
  const choices = new Map();
  let usage;
  for (const event of events) {
    assert.ok(!event.error, `error in the answer: ${JSON.stringify(event.error)}`);
    if (event === "[DONE]") continue;
    if (event.usage) {
      const { prompt_tokens, completion_tokens, total_tokens } = event.usage;
      usage = { prompt_tokens, completion_tokens, total_tokens };
    }
    for (const choice of event.choices) {
      const sum = choices.get(choice.index) ?? { text: "", logprobs: [], finish: null };
      sum.text += choice.text ?? choice.delta?.content ?? choice.message?.content ?? "";
      if (choice.logprobs?.content) sum.logprobs.push(...choice.logprobs.content);
      else if (choice.logprobs) sum.logprobs.push(...choice.logprobs.tokens.map((token, i) => [token, choice.logprobs.token_logprobs[i], choice.logprobs.text_offset[i]]));
      sum.finish = choice.finish_reason ?? sum.finish;
      choices.set(choice.index, sum);
    }
  }
  return { choices: [...choices.entries()].sort(([a], [b]) => a - b), usage };
}

async function send(daemon, { path, streamed, body }, onEvent) {
  if (streamed) {
    const events = await stream(daemon.url + path, { ...body, stream_options: { include_usage: true } }, onEvent);
    assert.equal(events.at(-1), "[DONE]", "the stream ends with [DONE]");
    return essence(events);
  }
  const { status, json } = await post(daemon.url + path, body);
  assert.equal(status, 200, JSON.stringify(json));
  return essence([json]);
}

/** Runs all requests from a few clients at once; gives the answers in order. */
async function runAll(daemon, requests) {
  const answers = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (let i = next++; i < requests.length; i = next++) answers[i] = await send(daemon, requests[i]);
    }),
  );
  return answers;
}

let model;
let daemon;
before(async () => {
  // Some milliseconds a token: there must be time to kill something between two of them.
  model = synth(temporaryFolder(), "model.gguf", ["--type", "q8_0", "--layers", "8", "--hidden", "256", "--ffn", "1024", "--heads", "8", "--kv-heads", "4", "--head-dim", "32", "--vocab-size", "4096", "--context", "512"]);
  daemon = await Daemon.start(["-m", model, "--workers", "3", "-t", "1", "-c", "512", "--parallel", "8", "--worker-deadline", "1", "--max-queue", "512"]);
});
after(() => daemon.stop());

test("random SIGKILL and SIGSTOP under a mixed load: every answer is the unkilled one", async (t) => {
  const requests = mixedRequests(requestCount);
  const expected = await runAll(daemon, requests);

  const random = randomFrom(seed + 1);
  let kills = 0;
  let stops = 0;
  let rounds = 0;
  let done = false;
  const killer = (async () => {
    while (!done && kills + stops < minimumKills) {
      await sleep(60 + random.below(180));
      const pids = daemon.workers();
      if (done || pids.length === 0) continue;
      const signal = random.below(8) === 0 ? "SIGSTOP" : "SIGKILL";
      try {
        process.kill(pids[random.below(pids.length)], signal);
        signal === "SIGKILL" ? ++kills : ++stops;
      } catch {
        // it has just ended by itself
      }
    }
  })();
  while (kills + stops < minimumKills) {
    assert.deepEqual(await runAll(daemon, requests), expected, `round ${rounds}, seed ${seed}`);
    ++rounds;
  }
  done = true;
  await killer;
  t.diagnostic(`${rounds} rounds of ${requests.length} requests, ${kills} SIGKILL, ${stops} SIGSTOP`);
  assert.deepEqual(await runAll(daemon, requests), expected, "after the last kill");
});

const systematic = {
  greedy: { prompt: "Once upon a time", temperature: 0, max_tokens: 24 },
  sampled: { prompt: "Once upon a time", seed: 3, max_tokens: 24, logprobs: 2 },
  "n = 4": { prompt: "The lights over the river", seed: 4, n: 4, max_tokens: 8 },
  "stop string": { prompt: "A child counted", seed: 11, max_tokens: 40, stop: [" zz", "qu"] },
};

for (const [name, body] of Object.entries(systematic)) {
  test(`a kill at every token position: ${name}`, async (t) => {
    const request = { path: "/v1/completions", streamed: true, body };
    let chunks = 0;
    const expected = await send(daemon, request, () => ++chunks);
    for (let position = 0; position < chunks; ++position) {
      let seen = 0;
      const answer = await send(daemon, request, () => {
        if (seen++ !== position) return;
        for (const pid of daemon.workers()) process.kill(pid, "SIGKILL"); // whichever has it
      });
      assert.deepEqual(answer, expected, `killed after event ${position}`);
    }
    t.diagnostic(`${chunks} positions`);
  });
}
