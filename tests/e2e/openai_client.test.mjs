// The official openai npm package against two workers: chat and completions, streamed and not.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { Daemon, until } from "./support/hearth.mjs";

const model = "hearth-tiny";
const messages = [
  { role: "system", content: "You answer in one sentence." },
  { role: "user", content: "Where does the river end? ☕" },
];
let daemon;
let client;

before(async () => {
  daemon = await Daemon.start(["--workers", "2", "-t", "1", "--api-key", "test-key"]);
  client = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: "test-key", maxRetries: 0 });
});
after(() => daemon.stop());

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("models: list and retrieve", async () => {
  const list = await client.models.list();
  assert.deepEqual(list.data.map(({ id }) => id), [model]);
  assert.equal((await client.models.retrieve(model)).object, "model");
  await assert.rejects(client.models.retrieve("gpt-9"), NotFoundError);
});

test("chat, not streamed", async () => {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 12, seed: 5 });
  assert.equal(answer.object, "chat.completion");
  const [choice] = answer.choices;
  assert.equal(choice.message.role, "assistant");
  assert.equal(typeof choice.message.content, "string");
  assert.ok(["stop", "length"].includes(choice.finish_reason));
  assert.ok(answer.usage.prompt_tokens > 10);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 0);
});

test("chat, streamed: the same text, a finish_reason, usage when asked", async () => {
  const request = { model, messages, max_completion_tokens: 20, seed: 6 };
  const whole = await client.chat.completions.create(request);
  const chunks = await collect(
    await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }),
  );
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const text = chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");
  assert.equal(text, whole.choices[0].message.content);
  const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
  assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
  assert.deepEqual(chunks.at(-1).choices, []);
  // The second of two equal requests may find its prompt in the cache; all else is equal.
  const { prompt_tokens_details: details, ...counts } = chunks.at(-1).usage;
  assert.ok(details.cached_tokens <= counts.prompt_tokens);
  assert.deepEqual({ ...counts, prompt_tokens_details: whole.usage.prompt_tokens_details }, whole.usage);
  assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
});

test("chat: n, logprobs, logit_bias and seed", async () => {
  // A request that the model has many answers to, unlike a greeting.
  const story = [{ role: "user", content: "Tell me a story." }];
  const request = { model, messages: story, temperature: 1.5, max_tokens: 24, n: 3, seed: 7, logprobs: true, top_logprobs: 2 };
  const first = await client.chat.completions.create(request);
  const second = await client.chat.completions.create(request);
  assert.deepEqual(first.choices, second.choices);
  assert.equal(first.choices.length, 3);
  assert.equal(new Set(first.choices.map(({ message }) => message.content)).size, 3);
  for (const { logprobs } of first.choices) {
    for (const token of logprobs.content) {
      assert.ok(token.logprob <= 0);
      assert.equal(token.top_logprobs.length, 2);
      assert.ok(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob);
    }
  }
  const { tokens } = await (
    await fetch(`${daemon.url}/tokenize`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer test-key" },
      body: JSON.stringify({ content: "z", add_special: false }),
    })
  ).json();
  const biased = await client.chat.completions.create({
    model, messages, max_tokens: 4, temperature: 0, logit_bias: { [tokens[0]]: 100 },
  });
  assert.equal(biased.choices[0].message.content, "zzzz");
});

test("completions: several prompts, echo, stop, logprobs", async () => {
  const answer = await client.completions.create({ model, prompt: ["one", "two"], max_tokens: 5, n: 2, seed: 1 });
  assert.deepEqual(answer.choices.map(({ index }) => index), [0, 1, 2, 3]);
  const plain = await client.completions.create({ model, prompt: "The sea", max_tokens: 24, seed: 2 });
  const text = plain.choices[0].text;
  const stop = text.slice(6, 9);
  const cut = await client.completions.create({ model, prompt: "The sea", max_tokens: 24, seed: 2, stop: [stop] });
  assert.equal(cut.choices[0].text, text.slice(0, text.indexOf(stop)));
  assert.equal(cut.choices[0].finish_reason, "stop");
  const echo = await client.completions.create({
    model, prompt: "The sea is blue", max_tokens: 3, echo: true, logprobs: 1, temperature: 0,
  });
  assert.ok(echo.choices[0].text.startsWith("The sea is blue"));
  const { tokens, token_logprobs, text_offset } = echo.choices[0].logprobs;
  // A token of a part of a character is shown by its bytes, so only the prompt joins to its text.
  assert.ok(tokens.join("").startsWith("The sea is blue"));
  assert.equal(token_logprobs[0], null);
  assert.ok(token_logprobs.slice(1).every((p) => p <= 0));
  assert.equal(token_logprobs.length, tokens.length);
  assert.deepEqual(text_offset, [...text_offset].sort((a, b) => a - b));
  assert.equal(text_offset.length, tokens.length);
  const chunks = await collect(
    await client.completions.create({ model, prompt: "The sea", max_tokens: 24, seed: 2, stream: true }),
  );
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), text);
});

test("errors carry status, type, param and a request id", async () => {
  const rejection = async (promise, kind) => {
    const error = await promise.then(() => assert.fail("was accepted"), (caught) => caught);
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.requestID);
    return error;
  };
  const wrong = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: "other", maxRetries: 0 });
  await rejection(wrong.models.list(), AuthenticationError);
  let error = await rejection(client.chat.completions.create({ model, messages, temperature: 3 }), BadRequestError);
  assert.equal(error.param, "temperature");
  error = await rejection(client.chat.completions.create({ model: "gpt-9", messages }), NotFoundError);
  assert.equal(error.code, "model_not_found");
  error = await rejection(
    client.completions.create({ model, prompt: "long ".repeat(5000), max_tokens: 5 }), BadRequestError);
  assert.equal(error.code, "context_length_exceeded");
  assert.match(error.message, /\d+.*\d+/);
  error = await rejection(client.completions.create({ model, prompt: "x", max_tokens: -1 }), APIError);
  assert.equal(error.status, 400);
});

test("an aborted stream leaves the batch", async () => {
  const stream = await client.completions.create({ model, prompt: "On and on", max_tokens: 450, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break; // the client's way of going away
  }
  const headers = { authorization: "Bearer test-key" };
  await until(async () => {
    const text = await (await fetch(`${daemon.url}/metrics`, { headers })).text();
    const running = [...text.matchAll(/^vllm:num_requests_running\S* (\d+)/gm)];
    return running.length > 0 && running.every(([, count]) => count === "0");
  }, "no running request");
});
