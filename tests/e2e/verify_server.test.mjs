// Every reference model through the daemon: two workers, requests side by side, results as good as
// `hearth verify` wants them from the engine alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Daemon, hasVectors, post, until } from "./support/hearth.mjs";
import { referenceModels } from "./support/reference_models.mjs";

const skip = !hasVectors && "no ../shared/vectors";

const isPlainFloat = (type) => ["F32", "F16", "BF16"].includes(type);

/** As in server/cli/verify_command.cpp, f16 KV cache. */
function toleranceOf(expected) {
  return Object.keys(expected.tensor_types).every(isPlainFloat)
    ? { maxAbs: 0.06, nll: 1e-3, routerGap: 0.01 }
    : { maxAbs: 0.8, nll: 0.02, routerGap: 0.15 };
}

/** Steps of the greedy continuation before the first that may go either way. */
function certainSteps(expected, tolerance) {
  const gaps = expected.router_gap_per_position ?? [];
  const doubtful = expected.greedy_margins.findIndex((margin, i) => {
    const row = expected.prompt_tokens.length - 1 + i;
    return margin < 2 * tolerance.maxAbs || gaps.slice(0, row + 1).some((gap) => gap < tolerance.routerGap);
  });
  return doubtful < 0 ? expected.greedy_margins.length : doubtful;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function complete(daemon, body) {
  const { status, json } = await post(`${daemon.url}/v1/completions`, { temperature: 0, ...body });
  assert.equal(status, 200, JSON.stringify(json));
  return json.choices[0].logprobs;
}

async function compare(daemon, expected, t) {
  const tolerance = toleranceOf(expected);
  const { prompt_tokens: prompt, greedy_tokens: greedy, nll_tokens: scored } = expected;
  const score = (tokens) => complete(daemon, { prompt: tokens, echo: true, max_tokens: 0, logprobs: 1 });
  const generate = () => complete(daemon, { prompt, max_tokens: greedy.length, logprobs: 1 });
  const [first, again, generated, second, reference] = await Promise.all([
    score(scored), score(scored), generate(), generate(), score([...prompt, ...greedy]),
  ]);
  assert.deepEqual(again, first, "the same request on another worker");
  assert.deepEqual(second, generated, "the same request on another worker");

  const nll = -mean(first.token_logprobs.slice(1));
  const difference = nll - expected.nll_mean;
  assert.ok(Math.abs(difference) <= tolerance.nll, `likelihood is off by ${difference}`);

  const certain = certainSteps(expected, tolerance);
  const at = prompt.length;
  assert.deepEqual(generated.tokens.slice(0, certain), reference.tokens.slice(at, at + certain));
  // One step of the whole text and single decode steps beside other requests: the same bits.
  assert.deepEqual(generated.token_logprobs.slice(0, certain), reference.token_logprobs.slice(at, at + certain));
  t.diagnostic(`${expected.model}: NLL ${difference.toExponential(1)}, ${certain} of ${greedy.length} greedy tokens certain and equal`);
}

test("reference models through two workers", { skip, timeout: 280_000 }, async (t) => {
  let served = 0;
  for (const { path, expected } of referenceModels()) {
    const daemon = await Daemon.start(["-m", path, "--workers", "2", "-t", "1", "--parallel", "4", "-c", "256"]);
    try {
      // Requests are taken as soon as one worker is ready.
      await until(async () => (await daemon.metric("hearth_worker_up")).join() === "1,1", "both workers");
      await compare(daemon, expected, t);
      const perWorker = await daemon.metric("vllm:request_prompt_tokens_count");
      assert.equal(perWorker.length, 2);
      assert.ok(perWorker.every((count) => count > 0), `${path}: one worker had nothing to do: ${perWorker}`);
      ++served;
    } finally {
      await daemon.stop();
    }
  }
  assert.ok(served >= 44, `found ${served} models`);
});
