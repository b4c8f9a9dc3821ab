// The model that is served without -m: it speaks, and its answers end by themselves.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Daemon, post, root, run, stream } from "./support/hearth.mjs";

let daemon;
before(async () => {
  daemon = await Daemon.start(["--workers", "2", "-t", "1"]);
});
after(() => daemon.stop());

const chat = async (messages, more = {}) => {
  const body = { messages: typeof messages === "string" ? [{ role: "user", content: messages }] : messages, temperature: 0, max_tokens: 120, ...more };
  const { status, json } = await post(`${daemon.url}/v1/chat/completions`, body);
  assert.equal(status, 200, JSON.stringify(json));
  return json;
};
const said = async (...args) => (await chat(...args)).choices[0].message.content;

test("it is called hearth-tiny, and greets with a sentence that ends", async () => {
  const models = await (await fetch(`${daemon.url}/v1/models`)).json();
  assert.equal(models.data[0].id, "hearth-tiny");
  const { choices } = await chat("Hello!");
  assert.match(choices[0].message.content, /^Hello.*[.!?]$/s);
  assert.equal(choices[0].finish_reason, "stop");
});

test("four of five held-out prompts are answered right", async (t) => {
  const child = spawn("python3", [join(root, "tools/builtin_model/evaluate"), "--url", daemon.url, "--at-least", "0.8"]);
  let out = "";
  for (const output of [child.stdout, child.stderr]) output.on("data", (text) => (out += text));
  const status = await new Promise((done) => child.on("close", done));
  t.diagnostic(out.trim().split("\n").at(-1));
  assert.equal(status, 0, out);
});

test("hearth run answers too, and --raw continues text", () => {
  const answered = run(["run", "-p", "Hello!", "--temperature", "0"]);
  assert.equal(answered.status, 0, answered.stderr);
  assert.match(answered.stdout, /^Hello/);
  const continued = run(["run", "--raw", "--special", "-p", "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n", "--temperature", "0"]);
  assert.equal(continued.stdout, answered.stdout);
});

test("a stop string ends the answer before it, streamed and not", async () => {
  const question = "Which endpoints are there?";
  const whole = await said(question);
  const words = whole.split(" ");
  assert.ok(words.length > 6, whole);
  const stop = words[4]; // wherever it comes first
  const cut = whole.slice(0, whole.indexOf(stop));
  const { choices } = await chat(question, { stop: [stop] });
  assert.deepEqual([choices[0].message.content, choices[0].finish_reason], [cut, "stop"]);
  const events = await stream(`${daemon.url}/v1/chat/completions`, { messages: [{ role: "user", content: question }], temperature: 0, stop: [stop] });
  const text = events.filter((e) => e !== "[DONE]").map((e) => e.choices[0].delta.content ?? "").join("");
  assert.equal(text, cut);
});

test("JSON answers parse and end by themselves", async () => {
  for (const [name, age] of [["Anna", 31], ["Karl", 58], ["Mira", 7]]) {
    const { choices } = await chat(`Extract the name and the age as JSON: ${name} is ${age} years old.`);
    assert.deepEqual(JSON.parse(choices[0].message.content), { name, age });
    assert.equal(choices[0].finish_reason, "stop");
  }
});

test("a conversation of several turns remembers, and its turns come from the prefix cache", async () => {
  const messages = [];
  for (const content of ["My name is Tom.", "Which endpoints are there?", "What is my name?"]) {
    messages.push({ role: "user", content });
    const json = await chat(messages);
    messages.push({ role: "assistant", content: json.choices[0].message.content });
    if (messages.length >= 6) assert.ok(json.usage.prompt_tokens_details.cached_tokens >= 32);
  }
  assert.match(messages[3].content, /\/v1\/chat\/completions/);
  assert.match(messages[5].content, /Tom/);
});

test("its distributions are peaked where it knows, and sampling still varies", async () => {
  const { choices } = await chat("Which endpoints are there?", { logprobs: true, top_logprobs: 5 });
  const likely = choices[0].logprobs.content.filter(({ logprob }) => logprob > Math.log(0.9));
  assert.ok(likely.length > choices[0].logprobs.content.length / 2, `${likely.length} of ${choices[0].logprobs.content.length}`);
  const stories = await Promise.all([1, 2, 3].map((seed) => said("Tell me a story.", { temperature: 1, seed })));
  assert.equal(new Set(stories).size, 3);
});
