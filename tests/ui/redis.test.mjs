// Three gateways over one Redis: what is done in one's dashboard counts, and shows, in all.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, freePort, gateway, picture, until } from "./harness.mjs";

let folder;
let redis;
let chrome;
let gateways = [];
const upstreams = [];

async function upstream(said) {
  const server = createServer((_, response) => response.end(said));
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  upstreams.push(server);
  return server.address().port;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "flaggate-redis-"));
  const port = await freePort();
  redis = spawn("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder], { stdio: "ignore" });
  await until("redis answers", () => new Promise((found) => {
    const socket = createConnection(port, "127.0.0.1", () => { socket.destroy(); found(true); });
    socket.on("error", () => found(false));
  }));
  const [old, next] = [await upstream("old"), await upstream("new")];
  const text = (number) => `
[[listeners]]
name = "web"
address = "127.0.0.1:{listener}"
[admin]
address = "127.0.0.1:{admin}"
[server]
name = "gateway-${number}"
[store]
kind = "redis"
url = "redis://127.0.0.1:${port}"
backup = "${folder}/backup-${number}.json"
[context]
user_id = [{ header = "X-User-Id" }]
accept_identity_from = "anyone"
[upstreams.old]
endpoints = [{ address = "127.0.0.1:${old}" }]
[upstreams.new]
endpoints = [{ address = "127.0.0.1:${next}" }]
[[routes]]
name = "shop"
upstream = "old"
canary = { flag = "checkout", upstream = "new" }
[access_log]
enabled = false
`;
  gateways = await Promise.all([1, 2, 3].map((number) => gateway(join(folder, `${number}.toml`), text(number))));
  await gateways[0].ask("POST", "/flags?wait=all", { key: "checkout", name: "Checkout", default_value: false, rollout_enabled: true, rollout_percentage: 50 });
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  for (const one of gateways) await one.stop();
  const ended = new Promise((end) => redis?.once("exit", end));
  redis?.kill();
  await ended;
  for (const server of upstreams) server.close();
  await rm(folder, { recursive: true, force: true });
});
function check(name, run) {
  test(name, async () => {
    try {
      await run();
    } catch (error) {
      await chrome.keep(name);
      throw error;
    } finally {
      assert.deepEqual(await chrome.leave(), [], "nothing goes wrong, and nobody else is asked");
    }
  });
}
const answers = (one) => Promise.all(Array.from({ length: 40 }, (_, user) => fetch(one.gateway, { headers: { "x-user-id": `u${user}` } }).then((answer) => answer.text())));

check("a change at one gateway is in a browser at another within a second", async () => {
  const there = await chrome.page(gateways[1].base, "/flags/checkout");
  await there.getByText("50 %").first().waitFor();
  await gateways[0].ask("PATCH", "/flags/checkout", { rollout_percentage: 61 });
  await there.getByText("61 %").first().waitFor({ timeout: 1000 });
});

check("a kill counts at all gateways, and no request goes there any more", async () => {
  assert.ok((await answers(gateways[2])).includes("new"));
  const page = await chrome.page(gateways[0].base, "/flags/checkout");
  await page.locator("main").getByRole("button", { name: "Kill…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reason").fill("it fails");
  await dialog.getByRole("button", { name: "Kill now" }).click();
  await dialog.getByText(/3 of 3 gateways/).waitFor();
  await picture(page, "kill-3-of-3");
  for (const one of gateways) assert.ok(!(await answers(one)).includes("new"));
  const home = await chrome.page(gateways[2].base, "/");
  for (const number of [1, 2, 3]) await home.getByText(`gateway-${number}`).first().waitFor();
  await picture(home, "home-redis");
});

check("a kill that is lifted in steps shows each step", async () => {
  const page = await chrome.page(gateways[1].base, "/kill");
  await page.getByText("killing").waitFor();
  await page.getByRole("button", { name: "Lift in steps" }).click();
  await page.getByText(/\d+ % let through/).waitFor();
  await picture(page, "kill-recovers");
  await page.getByRole("button", { name: "Lift", exact: true }).click();
  await page.getByText("inactive").waitFor();
  await until("users get it again", async () => (await answers(gateways[2])).includes("new"));
});
