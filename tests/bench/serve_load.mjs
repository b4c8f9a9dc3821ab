// What clients of a loaded daemon get: see tests/bench/serve_load.
import { parseArgs } from "node:util";
import { performance } from "node:perf_hooks";
import { readFileSync } from "node:fs";
import { Daemon, memoryOf, post, sleep, smallModel, stream, synth, temporaryFolder, textOf, until } from "../e2e/support/hearth.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    seconds: { type: "string" },
    clients: { type: "string" },
    threads: { type: "string", default: "2" },
  },
});

const folder = temporaryFolder();
const sum = (values) => values.reduce((a, b) => a + b, 0);
const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
const milliseconds = (value) => value.toFixed(value < 10 ? 2 : 1);
const model120m = () => flags.model ?? synth(folder, "120m.gguf", ["--arch", "llama", "--preset", "120m", "--type", "q4_0"]);

/** Times between the tokens of all streams that lie in [from, to). */
const gaps = (streams, from, to) =>
  streams.flatMap((times) => times.slice(1).map((at, i) => [at, at - times[i]]).filter(([at]) => at >= from && at < to).map(([, gap]) => gap));

/** One greedy key with 32 requests at a time and nine light ones with one each: who gets what. */
async function fairness() {
  const seconds = Number(flags.seconds ?? 20);
  const keys = ["greedy", ...Array.from({ length: 9 }, (_, i) => `light${i + 1}`)];
  const daemon = await Daemon.start(["-m", model120m(), "--workers", "1", "-t", flags.threads, "-c", "512", "--parallel", "8"]);
  const end = performance.now() + seconds * 1000;
  const tokens = Object.fromEntries(keys.map((key) => [key, 0]));
  const waits = Object.fromEntries(keys.map((key) => [key, []]));
  let seed = 0;
  const client = async (key) => {
    while (performance.now() < end) {
      const begin = performance.now();
      let first;
      const body = { prompt: `Once there were ${++seed} lights`, max_tokens: 60, seed };
      await stream(
        `${daemon.url}/v1/completions`,
        body,
        (event) => {
          if (event === "[DONE]") return;
          first ??= performance.now();
          if (performance.now() < end) ++tokens[key];
        },
        { "x-gateway-inference-fairness-id": key },
      );
      waits[key].push(first - begin);
    }
  };
  await Promise.all(keys.flatMap((key) => Array.from({ length: key === "greedy" ? 32 : 1 }, () => client(key))));
  await daemon.stop();
  const served = Object.values(tokens);
  const jain = sum(served) ** 2 / (served.length * sum(served.map((x) => x * x)));
  console.log(`fairness: one greedy key (32 requests at a time), nine light ones (1), 8 places, ${seconds} s`);
  console.log("| key | tokens | first token p50, ms | p99, ms |");
  console.log("|---|---|---|---|");
  for (const key of keys) {
    const [p50, p99] = [0.5, 0.99].map((q) => milliseconds(quantile(waits[key], q)));
    console.log(`| ${key} | ${tokens[key]} | ${p50} | ${p99} |`);
  }
  console.log(`Jain index of served tokens: ${jain.toFixed(4)}`);
}

/** A prompt of 4096 tokens arrives beside running streams: what it does to the times between their tokens. */
async function headOfLine() {
  const daemon = await Daemon.start(["-m", model120m(), "--workers", "1", "-t", flags.threads, "-c", "8192", "--parallel", "16"]);
  console.log("head of line: a prompt of 4096 tokens beside running streams, times between tokens in ms");
  console.log("| streams | before: p50 | p99 | beside the prompt: p50 | p99 | p99 ratio | prompt took, s |");
  console.log("|---|---|---|---|---|---|---|");
  for (const count of flags.clients ? [Number(flags.clients)] : [1, 4, 8]) {
    const stop = [];
    const live = Array.from({ length: count }, (_, i) => {
      const times = [];
      const body = { prompt: `Stream ${i}`, max_tokens: 3000, seed: i, logit_bias: { 2: -100 } };
      const controller = new AbortController();
      stop.push(controller);
      stream(`${daemon.url}/v1/completions`, body, () => times.push(performance.now()), {}, controller.signal).catch(() => {});
      return times;
    });
    await until(() => live.every((times) => times.length > 20), "running streams");
    const from = performance.now();
    await until(() => live[0].filter((at) => at > from).length >= 300, "tokens before the prompt", 120_000);
    const begin = performance.now();
    const prompt = Array.from({ length: 4096 }, (_, i) => 300 + ((i * 7919 + count * 131) % 20000));
    await post(`${daemon.url}/v1/completions`, { prompt, max_tokens: 1 });
    const end = performance.now();
    stop.forEach((controller) => controller.abort());
    const before = gaps(live, from, begin);
    const beside = gaps(live, begin, end);
    const figures = [quantile(before, 0.5), quantile(before, 0.99), quantile(beside, 0.5), quantile(beside, 0.99)];
    const ratio = figures[3] / figures[1];
    console.log(`| ${count} | ${figures.map(milliseconds).join(" | ")} | ${ratio.toFixed(2)} | ${((end - begin) / 1000).toFixed(1)} |`);
    await until(async () => sum(await daemon.metric("vllm:num_requests_running")) === 0, "all to be cancelled");
  }
  await daemon.stop();
}

/** Clients go away while 8 streams run: how long their sequences stay. */
async function cancel() {
  const daemon = await Daemon.start(["-m", model120m(), "--workers", "1", "-t", flags.threads, "-c", "4096", "--parallel", "8"]);
  const left = async () => sum(await daemon.metric("hearth_cancelled_in_engine_total"));
  const rounds = 40;
  const delays = [];
  const steps = [];
  for (let i = 0; i < rounds; ++i) {
    const times = [];
    const controller = new AbortController();
    const done = stream(`${daemon.url}/v1/completions`, { prompt: `Round ${i}`, max_tokens: 3000, seed: i, logit_bias: { 2: -100 } }, () => times.push(performance.now()), {}, controller.signal).catch(() => {});
    await until(() => times.length > 10, "a running stream");
    const before = await left();
    const begin = performance.now();
    controller.abort();
    while ((await left()) === before) await sleep(0);
    delays.push(performance.now() - begin);
    steps.push(quantile(times.slice(1).map((at, k) => at - times[k]), 0.5));
    await done;
  }
  await daemon.stop();
  console.log(`cancel: ${rounds} streams given up; from abort() to the metric that says it has left the batch`);
  console.log(`p50 ${milliseconds(quantile(delays, 0.5))} ms, p99 ${milliseconds(quantile(delays, 0.99))} ms; a step takes ${milliseconds(quantile(steps, 0.5))} ms`);
}

/** Memory that processes share with nobody, in MiB. */
function privateMiB(pid) {
  const { other } = memoryOf(pid, "no such file");
  return ((other.Private_Dirty ?? 0) + (other.Private_Clean ?? 0)) / 1024;
}

/** Many streaming clients for long: every answer is compared, memory is watched. */
async function soak() {
  const seconds = Number(flags.seconds ?? 600);
  const clients = Number(flags.clients ?? 256);
  const model = flags.model ?? smallModel(folder);
  const daemon = await Daemon.start(["-m", model, "--workers", "3", "-t", "1", "-c", "1024", "--parallel", "32", "--log-level", "warn"]);
  const url = `${daemon.url}/v1/completions`;
  const bodies = Array.from({ length: 96 }, (_, i) => ({
    prompt: `There were ${i} lights over the river and a child counted them`,
    max_tokens: 20 + ((i * 37) % 100),
    seed: i,
    temperature: i % 3 === 0 ? 0 : 1,
    stream_options: { include_usage: true },
  }));
  const outcome = (events) => ({ text: textOf(events.filter((e) => e.choices?.length)), usage: events.at(-2)?.usage?.completion_tokens, done: events.at(-1) });
  const expected = [];
  for (const body of bodies) expected.push(outcome(await stream(url, body)));

  const begin = performance.now();
  const end = begin + seconds * 1000;
  let requests = 0;
  let tokens = 0;
  const wrong = [];
  const client = async (i) => {
    for (let at = i; performance.now() < end; at += clients + 1) {
      const which = at % bodies.length;
      try {
        const got = outcome(await stream(url, bodies[which]));
        if (JSON.stringify(got) !== JSON.stringify(expected[which])) wrong.push(`request ${which}: ${JSON.stringify(got).slice(0, 300)}`);
        tokens += got.usage;
        ++requests;
      } catch (error) {
        wrong.push(`request ${which} after ${((performance.now() - begin) / 1000).toFixed(1)} s: ${error.message}: ${error.cause?.code} ${error.cause?.message}`);
      }
    }
  };
  const memory = [];
  const watch = (async () => {
    while (performance.now() < end) {
      const processes = [daemon.process.pid, ...daemon.workers()];
      memory.push({ seconds: (performance.now() - begin) / 1000, mib: processes.map(privateMiB) });
      await sleep(Math.min(seconds * 50, end - performance.now()));
    }
  })();
  await Promise.all(Array.from({ length: clients }, (_, i) => client(i)));
  await watch;
  const took = (performance.now() - begin) / 1000;
  console.log(`soak: ${clients} streaming clients, 3 workers, ${took.toFixed(0)} s: ${requests} requests, ${tokens} tokens (${(tokens / took).toFixed(0)} tokens/s), ${wrong.length} wrong or failed`);
  wrong.slice(0, 5).forEach((line) => console.log(line));
  console.log("| s | gateway MiB | worker 0 | worker 1 | worker 2 |");
  console.log("|---|---|---|---|---|");
  for (const { seconds: at, mib } of memory) console.log(`| ${at.toFixed(0)} | ${mib.map((m) => m.toFixed(1)).join(" | ")} |`);
  const restarts = sum(await daemon.metric("hearth_worker_restarts_total"));
  console.log(`restarts of workers: ${restarts}`);
  await daemon.stop();
  if (wrong.length > 0 || restarts > 0) process.exitCode = 1;
}

const scenarios = { fairness, "head-of-line": headOfLine, cancel, soak };
const scenario = scenarios[positionals[0]];
if (scenario === undefined) {
  console.error(readFileSync(new URL("serve_load", import.meta.url), "utf8").split("\n").slice(1, 4).join("\n").replaceAll("# ", ""));
  process.exit(2);
}
await scenario();
