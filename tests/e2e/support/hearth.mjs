// Starts daemons for the end-to-end tests and looks into their processes.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const buildFolder = process.env.E2E_BUILD_DIR ?? join(root, "build/release");
export const binary = join(buildFolder, "hearth");
/** The same program with an emulated GPU (tests/support/emulated_gpu.cpp), where it was built. */
export const binaryWithGpu = join(buildFolder, "tests/hearth_emulated_gpu");
export const builtinModel = join(buildFolder, "hearth-tiny.gguf");
export const vectors = join(root, "../shared/vectors");

/** A folder that is gone when the test process ends. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), "hearth-e2e-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs one command to its end. */
export function run(args, options = {}) {
  const { program = binary, ...rest } = options;
  return spawnSync(program, args, { encoding: "utf8", timeout: 60_000, ...rest });
}

/** Writes a synthetic model and returns its path. */
export function synth(folder, name, args) {
  const path = join(folder, name);
  const done = run(["synth", ...args, "-o", path], { timeout: 300_000 });
  if (done.status !== 0) throw new Error(`hearth synth: ${done.stderr}`);
  return path;
}

/** A model of some milliseconds a token: there is time to do something between two of them. */
export const smallModel = (folder) =>
  synth(folder, "model.gguf", ["--type", "q8_0", "--layers", "8", "--hidden", "256", "--ffn", "1024", "--heads", "8", "--kv-heads", "4", "--head-dim", "32", "--vocab-size", "4096", "--context", "4096"]);

export const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** A port that nobody listens at. */
export const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

/** Polls until `condition` gives something truthy. */
export async function until(condition, what, timeoutMs = 20_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await sleep(10);
  }
}

// A test that fails leaves its daemon behind; the file must end all the same.
const running = new Set();
const endAll = () => running.forEach((child) => child.kill("SIGKILL"));
if (process.env.NODE_TEST_CONTEXT) after(endAll);
else process.on("exit", endAll);

/** A running `hearth serve`. Its log is in `log`, its address in `url`. */
export class Daemon {
  static async start(args = [], { env = {}, waitReady = true, program = binary, port = 0 } = {}) {
    const daemon = new Daemon();
    daemon.log = "";
    daemon.process = spawn(program, ["serve", "--port", String(port), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    daemon.exited = new Promise((done) => daemon.process.on("exit", (code, signal) => done({ code, signal })));
    let ended = false;
    daemon.exited.then(() => (ended = true));
    for (const stream of [daemon.process.stdout, daemon.process.stderr])
      stream.on("data", (text) => (daemon.log += text));
    running.add(daemon.process);
    daemon.exited.then(() => running.delete(daemon.process));
    // The address is printed once the model is served; who must look earlier names a port.
    if (port > 0) daemon.url = `http://127.0.0.1:${port}`;
    else daemon.url = await until(() => {
      if (ended) throw new Error(`hearth serve ended:\n${daemon.log}`);
      return daemon.log.match(/http:\/\/127\.0\.0\.1:[1-9]\d*/)?.[0];
    }, "the daemon's address");
    if (waitReady) {
      await until(async () => {
        if (ended) throw new Error(`hearth serve ended:\n${daemon.log}`);
        return (await fetch(`${daemon.url}/health`)).ok;
      }, "/health");
    }
    return daemon;
  }

  /** Process ids of the workers that live, lowest first. */
  workers() {
    const parent = String(this.process.pid);
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
          const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
          return fields[1] === parent && fields[0] !== "Z";
        } catch {
          return false; // ended meanwhile
        }
      })
      .map(Number)
      .sort((a, b) => a - b);
  }

  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`, { headers: this.headers ?? {} })).text();
    const lines = text.split("\n").filter((line) => line.startsWith(name + "{") || line.startsWith(name + " "));
    return lines.map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
  }

  /** Asks politely and waits. */
  async stop() {
    this.process.kill("SIGTERM");
    return this.exited;
  }
}

/** POSTs JSON; gives status, headers and the parsed answer. */
export async function post(url, body, headers = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, json: await response.json() };
}

/** Streams a completion; calls `onEvent` with each parsed event. Gives all of them. */
export async function stream(url, body, onEvent = () => {}, headers = {}, signal = undefined) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ ...body, stream: true }),
    signal,
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const events = [];
  let rest = "";
  for await (const bytes of response.body) {
    rest += Buffer.from(bytes).toString("utf8");
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const block = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const data = block.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
      if (data === undefined) continue; // a comment
      const event = data === "[DONE]" ? "[DONE]" : JSON.parse(data);
      events.push(event);
      onEvent(event);
    }
  }
  return events;
}

/** The text of a streamed completion. */
export const textOf = (events) =>
  events.filter((e) => e !== "[DONE]" && !e.error).map((e) => e.choices[0]?.text ?? "").join("");

/** Sums of one process's smaps: over the mappings of `file`, and over all others; KiB. */
export function memoryOf(pid, file) {
  const sums = { file: {}, other: {} };
  let into = sums.other;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const field = line.match(/^(\w+):\s+(\d+) kB/);
    if (field) {
      into[field[1]] = (into[field[1]] ?? 0) + Number(field[2]);
    } else if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) {
      into = line.endsWith(file) ? sums.file : sums.other;
    }
  }
  return sums;
}

export const hasVectors = existsSync(join(vectors, "models"));
