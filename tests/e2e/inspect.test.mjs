// hearth inspect: its figures against those of the kernel and of a worker that serves.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { Daemon, builtinModel, post, run, synth, temporaryFolder, until } from "./support/hearth.mjs";

function inspect(...args) {
  const done = run(["inspect", ...args, "--json"]);
  return { status: done.status, stderr: done.stderr, report: done.stdout ? JSON.parse(done.stdout) : undefined };
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Mappings of a process in bytes: resident in the model's file, and in planned memory, which alone asks for huge pages. */
function measuredBytes(pid, model) {
  const out = { file: 0, planned: 0, other: 0 };
  for (const block of readFileSync(`/proc/${pid}/smaps`, "utf8").split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const header = block.slice(0, block.indexOf("\n"));
    const resident = Number(block.match(/^Rss:\s+(\d+) kB/m)[1]) * 1024;
    const isPlanned = header.trim().split(/\s+/).length === 5 && /^VmFlags:.*\bhg\b/m.test(block);
    out[header.endsWith(model) ? "file" : isPlanned ? "planned" : "other"] += resident;
  }
  return out;
}

test("metadata, types and tensors add up", () => {
  const { status, report } = inspect(builtinModel, "--tensors");
  assert.equal(status, 0);
  assert.equal(report.format, "GGUF");
  assert.equal(report.bytes, statSync(builtinModel).size);
  assert.equal(report.metadata["general.architecture"], "llama");
  const bytes = sum(report.tensors.map((tensor) => tensor.bytes));
  assert.equal(sum(Object.values(report.types).map((type) => type.bytes)), bytes);
  assert.equal(sum(Object.values(report.layers).map((layer) => layer.bytes)), bytes);
  assert.ok(bytes < report.bytes);
  assert.equal(sum(report.tensors.map(({ shape }) => shape.reduce((a, b) => a * b))), report.parameters);
  const text = run(["inspect", builtinModel, "--tensors"]);
  assert.match(text.stdout, /token_embd\.weight\s+q8_0/);
  assert.equal(run(["inspect"]).status, 2);
  assert.equal(inspect("/absent.gguf").status, 1);
});

test("residency is what the page cache holds", (t) => {
  const model = synth(temporaryFolder(), "cached.gguf", ["--preset", "120m", "--type", "q4_0"]);
  const resident = () => inspect(model, "--residency", "--tensors").report;
  readFileSync(model);
  const whole = resident();
  assert.equal(whole.resident_bytes, whole.bytes);
  for (const tensor of whole.tensors) assert.equal(tensor.resident_bytes, tensor.bytes);
  if (execFileSync("stat", ["-f", "-c", "%T", model], { encoding: "utf8" }).trim() === "tmpfs") {
    t.diagnostic("the temporary folder is memory: nothing can leave the page cache");
    return;
  }
  spawnSync("sync", [model]);
  spawnSync("dd", [`if=${model}`, "iflag=nocache", "count=0"]); // asks the kernel to forget the file
  const evicted = resident();
  t.diagnostic(`${evicted.resident_bytes} of ${evicted.bytes} bytes left`);
  assert.ok(evicted.resident_bytes < 0.5 * evicted.bytes);
  assert.equal(sum(evicted.tensors.map((tensor) => tensor.resident_bytes)),
               sum(Object.values(evicted.layers).map((layer) => layer.resident_bytes)));
});

test("metrics say how many pages a request waited for", async (t) => {
  const model = synth(temporaryFolder(), "cold.gguf", ["--preset", "120m", "--type", "q4_0"]);
  spawnSync("sync", [model]);
  spawnSync("dd", [`if=${model}`, "iflag=nocache", "count=0"]);
  const { report } = inspect(model, "--residency");
  const daemon = await Daemon.start(["-m", model, "--workers", "1", "-t", "2", "-c", "256"]);
  t.after(() => daemon.stop());
  const ask = async (prompt) => {
    const { status, json } = await post(`${daemon.url}/v1/completions`, { prompt, max_tokens: 4 });
    assert.equal(status, 200, JSON.stringify(json));
    const [major, minor] = await Promise.all(
      ["major", "minor"].map(async (kind) => (await daemon.metric(`hearth_request_${kind}_page_faults_sum`))[0]),
    );
    return { major, minor };
  };
  const cold = await ask("One");
  const warm = await ask("Two");
  t.diagnostic(`${report.resident_bytes} of ${report.bytes} bytes resident at the start; faults ${JSON.stringify({ cold, warm })}`);
  if (report.resident_bytes < 0.5 * report.bytes) assert.ok(cold.major > 0);
  assert.ok(cold.minor + cold.major > 0);
  assert.ok(warm.minor - cold.minor < cold.minor, "the mapping's pages are there by now");
  assert.deepEqual(await daemon.metric("hearth_request_major_page_faults_count"), [2]);
  await until(async () => (await daemon.metric("hearth_worker_minor_page_faults_total"))[0] >= warm.minor, "the worker's own figures");
});

test("a plan is what a worker takes, within 2 %", async (t) => {
  // Much KV cache for few weights, so that filling it takes seconds.
  const shape = ["--layers", "2", "--hidden", "256", "--heads", "16", "--kv-heads", "16", "--head-dim", "128", "--ffn", "512"];
  const model = synth(temporaryFolder(), "plan.gguf", ["--type", "q4_0", ...shape]);
  const sizes = ["-c", "1024", "--parallel", "4", "--step-tokens", "64"];
  const { report } = inspect(model, "--plan", ...sizes);
  assert.equal(report.plan.fits, true);
  const [cpu] = report.plan.devices;
  const predicted = cpu.weights_bytes + cpu.kv_bytes + cpu.activation_bytes;

  const daemon = await Daemon.start(["-m", model, "--workers", "1", "-t", "1", ...sizes]);
  t.after(() => daemon.stop());
  const answers = await Promise.all(
    [0, 1, 2, 3].map((i) => {
      const prompt = Array.from({ length: 1000 }, (_, at) => 10 + ((at * 7 + i * 31) % 200));
      return post(`${daemon.url}/v1/completions`, { prompt, max_tokens: 4 });
    }),
  );
  for (const { status, json } of answers) assert.equal(status, 200, JSON.stringify(json));

  const [worker] = daemon.workers();
  const { file, planned, other } = measuredBytes(worker, model);
  const difference = (file + planned) / predicted - 1;
  t.diagnostic(`predicted ${predicted}, measured ${file} + ${planned} bytes (${(100 * difference).toFixed(2)} %), ${other} besides`);
  assert.ok(Math.abs(difference) < 0.02, `off by ${(100 * difference).toFixed(2)} %`);
  assert.ok(other < 48 << 20, `${other} bytes besides`);
});

test("a plan that does not fit is refused, and the largest context fits", () => {
  const limits = ["--parallel", "4", "--memory-limit-mb", "64"];
  const { status, stderr, report } = inspect(builtinModel, "--plan", "-c", "4000000", ...limits);
  assert.equal(status, 1);
  assert.equal(report.plan.fits, false);
  const [cpu] = report.plan.devices;
  assert.ok(cpu.kv_bytes + cpu.activation_bytes > cpu.budget_bytes);
  const largest = report.plan.largest_context_tokens;
  assert.match(stderr, new RegExp(`the largest --ctx that fits is ${largest}`));
  assert.equal(inspect(builtinModel, "--plan", "-c", String(largest), ...limits).status, 0);
  assert.equal(inspect(builtinModel, "--plan", "-c", String(largest + 1), ...limits).status, 1);
  const served = run(["serve", "--port", "0", "-m", builtinModel, "-c", String(largest + 1), ...limits], { timeout: 20_000 });
  assert.equal(served.status, 1, served.stderr);
});

test("a plan for a GPU: layers, sums, what fits", () => {
  const plan = (...options) => inspect(builtinModel, "--plan", "-c", "2048", "--parallel", "4", ...options);
  const all = plan("-ngl", "all", "--vram-mb", "4000").report.plan;
  const [cpu, gpu] = all.devices;
  assert.equal(all.fits, true);
  assert.equal(cpu.kv_bytes, 0);
  assert.equal(gpu.together_bytes, gpu.weights_bytes + gpu.kv_bytes + gpu.activation_bytes + gpu.context_bytes);
  assert.ok(gpu.together_bytes <= gpu.budget_bytes);
  // Four workers: the weights once, all else four times.
  const [, shared] = plan("-ngl", "all", "--vram-mb", "4000", "--workers", "4").report.plan.devices;
  assert.equal(shared.workers, 4);
  assert.equal(shared.weights_bytes, gpu.weights_bytes);
  const needed = (device) => device.weights_bytes + device.workers * (device.kv_bytes + device.activation_bytes + device.context_bytes);
  const barely = String(Math.ceil(needed(shared) / 0.9 / 2 ** 20) + 1);
  assert.equal(plan("-ngl", "all", "--vram-mb", barely, "--workers", "4").status, 0);
  assert.equal(plan("-ngl", "all", "--vram-mb", barely, "--workers", "5").status, 1);
  // A budget that holds all but the last byte's worth: one layer less fits, and auto takes that.
  const tight = String(Math.floor(gpu.together_bytes / 0.9 / 2 ** 20));
  const refused = plan("-ngl", "all", "--vram-mb", tight);
  assert.equal(refused.status, 1);
  const most = refused.report.plan.devices[1].largest_layers;
  assert.ok(most < gpu.layers);
  assert.match(refused.stderr, new RegExp(`the largest --gpu-layers that fits is ${most}`));
  assert.equal(plan("-ngl", "auto", "--vram-mb", tight).report.plan.devices[1].layers, most);
});

test("a plan for two GPUs: ranges, sums, what --split says", () => {
  const sizes = ["--plan", "-c", "2048", "--parallel", "4", "-ngl", "all"];
  const devices = (...options) => inspect(builtinModel, ...sizes, ...options).report.plan.devices.slice(1);
  const [all] = devices("--vram-mb", "4000");
  const [first, second] = devices("--vram-mb", "4000,3000", "--split", "3,1");
  assert.deepEqual([first.layers, second.layers], [6, 2]);
  assert.deepEqual([first.first_layer, second.first_layer], [0, 6]);
  assert.deepEqual([first.has_output, second.has_output], [false, true]);
  assert.equal(first.weights_bytes + second.weights_bytes, all.weights_bytes);
  assert.equal(first.kv_bytes + second.kv_bytes, all.kv_bytes);
  // Neither of them alone would hold it.
  const mib = String(Math.ceil((all.together_bytes - all.kv_bytes / 4) / 0.9 / 2 ** 20));
  assert.equal(inspect(builtinModel, ...sizes, "--vram-mb", mib).status, 1);
  const shared = devices("--vram-mb", `${mib},${mib}`);
  assert.equal(shared.length, 2);
  assert.equal(shared[0].layers + shared[1].layers, all.layers);
  const [host] = devices("--vram-mb", mib, "--no-kv-offload");
  assert.equal(host.kv_bytes, 0);
  const wrong = inspect(builtinModel, ...sizes, "--vram-mb", "4000,3000", "--split", "1");
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /--split 1 has 1 parts, expected one for each of the 2 GPUs/);
});

test("layers on a GPU where there is none: a number is refused, auto takes the CPU", async (t) => {
  if (existsSync("/dev/nvidia0")) return t.skip("there is a GPU");
  const wanted = /--gpu-layers 1 needs a GPU, and no GPU can be used: .+; say auto or 0/;
  for (const command of [["inspect", builtinModel, "--plan"], ["run", "-m", builtinModel, "-p", "x"], ["bench", "-m", builtinModel]]) {
    const { status, stderr } = run([...command, "-ngl", "1"]);
    assert.equal(status, 1);
    assert.match(stderr, wanted);
  }
  const served = run(["serve", "--port", "0", "-ngl", "1"], { timeout: 20_000 });
  assert.equal(served.status, 2);
  assert.match(served.stderr, wanted);
  const daemon = await Daemon.start(["-m", builtinModel, "-ngl", "auto", "--workers", "1", "-t", "1", "-c", "256"]);
  t.after(() => daemon.stop());
  assert.match(daemon.log, /all layers on the CPU: no GPU can be used/);
});
