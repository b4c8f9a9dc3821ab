// The prefix cache as clients see it: usage, and who may profit from whose prompts.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Daemon, post, smallModel, temporaryFolder } from "./support/hearth.mjs";

const pageTokens = 32;
let model;
before(() => {
  model = smallModel(temporaryFolder());
});

const serve = (...more) => Daemon.start(["-m", model, "-t", "1", "-c", "2048", "--parallel", "4", ...more]);
const tokens = (count, first = 300) => Array.from({ length: count }, (_, i) => first + i);
const usage = ({ status, json }) => {
  assert.equal(status, 200, JSON.stringify(json));
  return { prompt: json.usage.prompt_tokens, cached: json.usage.prompt_tokens_details.cached_tokens };
};

test("turns of conversations compute less than a page again, on whichever of three workers they began", async () => {
  const daemon = await serve("--workers", "3");
  const url = `${daemon.url}/v1/completions`;
  const conversations = [1000, 1500, 2000, 2500, 3000].map((first) => ({ tokens: tokens(45, first) }));
  for (let turn = 0; turn < 4; ++turn) {
    // All conversations at once, so that the router has a choice.
    await Promise.all(
      conversations.map(async (conversation) => {
        const body = { prompt: conversation.tokens, max_tokens: 40, temperature: 0, logprobs: 0, seed: 1 };
        const answer = await post(url, body);
        const { prompt, cached } = usage(answer);
        assert.equal(prompt, conversation.tokens.length);
        const known = conversation.known ?? 0;
        assert.ok(cached <= known, `${cached} of ${known} known tokens`);
        if (turn > 0) assert.ok(known - cached < pageTokens, `turn ${turn}: ${cached} cached of ${known} known tokens`);
        conversation.known = prompt;
        conversation.hits = (conversation.hits ?? 0) + cached;
        conversation.tokens = [...conversation.tokens, ...tokens(40, 700 + 50 * turn)];
      }),
    );
  }
  const hits = (await daemon.metric("vllm:prefix_cache_hits_total")).reduce((a, b) => a + b, 0);
  assert.equal(hits, conversations.reduce((all, conversation) => all + conversation.hits, 0));
  await daemon.stop();
});

for (const shared of [false, true]) {
  test(`a key ${shared ? "profits" : "does not profit"} from another's prompts ${shared ? "with" : "without"} --shared-prefix-cache`, async () => {
    const daemon = await serve("--workers", "1", "--api-key", "sk-one", "--api-key", "sk-two", ...(shared ? ["--shared-prefix-cache"] : []));
    const ask = async (key) => usage(await post(`${daemon.url}/v1/completions`, { prompt: tokens(200), max_tokens: 1 }, { authorization: `Bearer ${key}` }));
    const whole = Math.floor(199 / pageTokens) * pageTokens;
    assert.equal((await ask("sk-one")).cached, 0);
    assert.equal((await ask("sk-one")).cached, whole);
    assert.equal((await ask("sk-two")).cached, shared ? whole : 0);
    assert.equal((await ask("sk-two")).cached, whole);
    await daemon.stop();
  });
}

test("n choices: the prompt is computed once", async () => {
  const daemon = await serve("--workers", "1");
  const { json } = await post(`${daemon.url}/v1/completions`, { prompt: tokens(300), max_tokens: 8, n: 4, seed: 2 });
  assert.equal(json.choices.length, 4);
  assert.equal(json.usage.prompt_tokens, 300);
  const text = await (await fetch(`${daemon.url}/metrics`)).text();
  const steps = Number(text.match(/^vllm:iteration_tokens_total_sum\{[^}]*\} (\S+)/m)[1]);
  // 300 prompt rows, the last one again for each further choice, and at most 8 rows of each choice.
  assert.ok(steps <= 300 + 3 + 4 * 8, `${steps} rows`);
  await daemon.stop();
});
