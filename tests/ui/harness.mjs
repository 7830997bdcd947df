// What the tests of the dashboard share: the real binary on ports of its own, and a browser that notices what goes wrong.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const { chromium } = createRequire(join(root, "ui/package.json"))("playwright-core");

/** Where pictures go. */
export const pictures = join(root, "target/ui-screenshots");

export const flaggate = process.env.FLAGGATE ?? join(target, "debug/flaggate");

export async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Waits until `check` gives something, and gives that; fails after `within` ms with what it waited for. */
export async function until(what, check, within = 10_000) {
  const end = Date.now() + within;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${within} ms: ${what}`);
    await new Promise((later) => setTimeout(later, 20));
  }
}

/** Runs the binary until it answers; `stop` ends it. */
async function run(args, env, admin) {
  const child = spawn(flaggate, args, { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (said += data));
  const ended = new Promise((end) => child.once("exit", end));
  const base = `http://127.0.0.1:${admin}`;
  try {
    await until(`${base} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`flaggate ended with ${child.exitCode}:\n${said}`);
      return fetch(`${base}/readyz`).then((answer) => answer.ok, () => false);
    });
  } catch (error) {
    child.kill();
    throw error;
  }
  return {
    base,
    said: () => said,
    ask: async (method, path, body, headers = {}) => {
      const sent = body === undefined ? {} : { body: JSON.stringify(body) };
      const answer = await fetch(base + path, { method, headers: { "content-type": "application/json", ...headers }, ...sent });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    stop: async () => {
      child.kill("SIGINT");
      await ended;
    },
  };
}

/** The demo world, with users. */
export async function demo({ traffic = true, env = {} } = {}) {
  const [gateway, admin, ...ports] = await Promise.all(Array.from({ length: 7 }, freePort));
  const names = ["V1_BLUE", "V1_GREEN", "V2_CANARY", "V2_FEATURE_A", "V2_FEATURE_B"];
  const upstreams = names.map((name, at) => [`FLAGGATE__UPSTREAMS__${name}__ENDPOINTS__0__ADDRESS`, `127.0.0.1:${ports[at]}`]);
  const world = await run(["demo", ...(traffic ? ["--traffic"] : [])], {
    FLAGGATE__LISTENERS__0__ADDRESS: `127.0.0.1:${gateway}`,
    FLAGGATE__ADMIN__ADDRESS: `127.0.0.1:${admin}`,
    ...Object.fromEntries(upstreams),
    ...env,
  }, admin);
  return { ...world, gateway: `http://127.0.0.1:${gateway}` };
}

/** A gateway with a configuration of its own; `{listener}` and `{admin}` in it stand for free ports. */
export async function gateway(file, text) {
  const { writeFile } = await import("node:fs/promises");
  const [listener, admin] = await Promise.all([freePort(), freePort()]);
  await writeFile(file, text.replaceAll("{listener}", listener).replaceAll("{admin}", admin));
  const world = await run(["run", "--config", file], {}, admin);
  return { ...world, gateway: `http://127.0.0.1:${listener}` };
}

/** A browser. Each page of it fails its test if a script fails, something is refused by the policy, or another host is asked. */
export async function browser() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const opened = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const wrong = [];
  const contexts = [];
  const page = async (base, path, { width = 1380, height = 900, dark = false, allowed = () => false } = {}) => {
    const context = await opened.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
    contexts.push(context);
    const shown = await context.newPage();
    shown.setDefaultTimeout(10_000);
    shown.on("pageerror", (error) => wrong.push(`${path}: ${error.stack}`));
    shown.on("console", (message) => {
      if (message.type() === "error" && !allowed(message.text())) wrong.push(`${path}: ${message.text()} ${message.location().url}`);
    });
    shown.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.host !== new URL(base).host) wrong.push(`${path}: asks ${request.url()}`);
    });
    await shown.goto(`${base}/ui${path}`);
    return shown;
  };
  /** Keeps pictures of all pages, for who asks why a test failed. */
  const keep = async (name) => {
    for (const [at, context] of contexts.entries()) await picture(context.pages()[0], `failed ${name} ${at}`);
  };
  /** Closes all pages; tells what went wrong in them. */
  const leave = async () => {
    for (const context of contexts.splice(0)) await context.close();
    return wrong.splice(0);
  };
  return { page, wrong, keep, leave, close: () => opened.close() };
}

/** Keeps a picture of what is shown. */
export async function picture(page, name) {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}
