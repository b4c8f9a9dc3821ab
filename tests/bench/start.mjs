// From exec to the first streamed token, and the share of it before the daemon listens.
//   node tests/bench/start.mjs MODEL.gguf... [-- OPTIONS of hearth serve]
// Each model is read through first, so that it is in the page cache. Medians of five starts.
import { createReadStream } from "node:fs";
import { connect } from "node:net";
import { spawn } from "node:child_process";
import { performance } from "node:perf_hooks";
import { binary, sleep } from "../e2e/support/hearth.mjs";

const rounds = 5;
const divider = process.argv.indexOf("--");
const models = process.argv.slice(2, divider < 0 ? undefined : divider);
const options = divider < 0 ? [] : process.argv.slice(divider + 1);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function readThrough(path) {
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 8 << 20 })) bytes += chunk.length;
  return bytes;
}

const listens = (port) =>
  new Promise((answer) => {
    const socket = connect(port, "127.0.0.1", () => answer(socket.destroy() && true));
    socket.on("error", () => answer(false));
  });

async function firstToken(port) {
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "Hello", max_tokens: 4, stream: true, temperature: 0 }),
    });
    if (response.status === 503) {
      await response.text();
      await sleep(1);
      continue;
    }
    if (!response.ok) throw new Error(await response.text());
    const reader = response.body.getReader();
    await reader.read();
    const at = performance.now();
    while (!(await reader.read()).done);
    return at;
  }
}

async function start(model, port) {
  const begin = performance.now();
  const daemon = spawn(binary, ["serve", "-m", model, "--port", String(port), ...options], { stdio: "ignore" });
  const exited = new Promise((done) => daemon.on("exit", done));
  while (!(await listens(port))) await sleep(1);
  const listening = performance.now() - begin;
  while (!(await fetch(`http://127.0.0.1:${port}/health`)).ok) await sleep(1);
  const ready = performance.now() - begin;
  const token = (await firstToken(port)) - begin;
  daemon.kill("SIGTERM");
  await exited;
  return { listening, ready, token };
}

console.log("| model | GB | listening, ms | ready, ms | first token, ms | share before listening |");
console.log("|---|---|---|---|---|---|");
let port = 18300 + (process.pid % 1000);
for (const model of models) {
  const bytes = await readThrough(model);
  const runs = [];
  for (let i = 0; i < rounds; ++i) runs.push(await start(model, port++));
  const [listening, ready, token] = ["listening", "ready", "token"].map((key) => median(runs.map((run) => run[key])));
  const cells = [listening, ready, token].map((ms) => ms.toFixed(0));
  console.log(`| ${model.split("/").pop()} | ${(bytes / 1e9).toFixed(2)} | ${cells.join(" | ")} | ${((100 * listening) / token).toFixed(1)} % |`);
}
