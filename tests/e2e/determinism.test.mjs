// Same request, same bits, through the whole server: tokens, log-probabilities and a hash of all
// logits behind each token, whatever runs beside it, however the prompt is cut, on one thread or two,
// from the cache or not, on whichever worker.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Daemon, post, synth, temporaryFolder } from "./support/hearth.mjs";

const folder = temporaryFolder();
const sizes = [1, 2, 8, 33, 64];
const settings = [
  { name: "one thread, whole prompts", flags: ["--workers", "1", "-t", "1", "--prefill-chunk", "512"] },
  { name: "two threads, chunks of 7", flags: ["--workers", "1", "-t", "2", "--prefill-chunk", "7"] },
  { name: "two workers, chunks of 64, few rows a step", flags: ["--workers", "2", "-t", "2", "--prefill-chunk", "64", "--step-tokens", "96"] },
];

/** Request `i`: greedy or sampled, with penalties or without, prompts of 1 to 100 tokens. */
const request = (i) => ({
  prompt: Array.from({ length: 1 + ((i * 37) % 100) }, (_, k) => 260 + ((i * 131 + k * 17) % 40)),
  max_tokens: 6 + (i % 5),
  seed: i,
  logprobs: i % 3,
  ...(i % 4 === 0 ? { temperature: 0 } : {}),
  ...(i % 4 === 1 ? { top_p: 0.9 } : {}),
  ...(i % 4 === 2 ? { frequency_penalty: 1, repetition_penalty: 1.1 } : {}),
});

async function ask(daemon, i) {
  const { status, json } = await post(`${daemon.url}/v1/completions`, request(i));
  assert.equal(status, 200, JSON.stringify(json));
  const [choice] = json.choices;
  // A choice that ended at once has no tokens.
  if (choice.logprobs.tokens.length > 0) assert.equal(choice.logprobs.logits_hash.length, choice.logprobs.tokens.length);
  return { answer: choice, cached: json.usage.prompt_tokens_details.cached_tokens };
}

const start = (model, kvType, flags) => Daemon.start(["-m", model, "-c", "128", "--parallel", "64", "--kv-type", kvType, "--debug-logits-hash", ...flags]);

for (const [type, kvType] of [["f32", "f16"], ["f16", "f16"], ["q8_0", "f16"], ["q4_0", "f16"], ["q4_0", "q8_0"], ["q4_k_m", "f16"], ["q6_k", "f16"], ["iq4_nl", "q8_0"]]) {
  test(`${type} weights, ${kvType} KV cache: batches of ${sizes}, cold and warm`, async () => {
    const model = synth(folder, `${type}.gguf`, ["--preset", "tiny", "--type", type]);
    const lone = await start(model, kvType, settings[0].flags);
    const alone = [];
    for (let i = 0; i < Math.max(...sizes); ++i) alone.push((await ask(lone, i)).answer);
    await lone.stop();
    for (const { name, flags } of settings) {
      let hits = 0;
      for (const size of sizes) {
        const daemon = await start(model, kvType, flags);
        for (const warmth of ["cold", "warm"]) {
          const answers = await Promise.all(Array.from({ length: size }, (_, k) => ask(daemon, alone.length - size + k)));
          for (const [k, { answer, cached }] of answers.entries()) {
            assert.deepEqual(answer, alone[alone.length - size + k], `${name}, ${size} at once, ${warmth}`);
            if (warmth === "warm") hits += cached;
          }
        }
        await daemon.stop();
      }
      assert.ok(hits > 0, `${name}: some prompts came from the cache`);
    }
  });
}
