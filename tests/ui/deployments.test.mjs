// Deployments made, run and judged through the pages: the real binary, real upstreams, real requests.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, gateway, picture, until } from "./harness.mjs";

let world;
let chrome;
let folder;
const upstreams = [];
/** How many of a hundred requests the new side fails, and how often it was asked. */
const canary = { fails: 0, asked: 0 };

async function upstream(answer) {
  const server = createServer(answer);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  upstreams.push(server);
  return server.address().port;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "flaggate-ui-"));
  const stable = await upstream((_, response) => response.end("stable"));
  const next = await upstream((_, response) => {
    canary.asked += 1;
    response.statusCode = canary.asked % 100 < canary.fails ? 500 : 200;
    response.end("canary");
  });
  const text = `
[[listeners]]
name = "web"
address = "127.0.0.1:{listener}"
[admin]
address = "127.0.0.1:{admin}"
[store]
kind = "memory"
[context]
user_id = [{ header = "X-User-Id" }]
accept_identity_from = "anyone"
[upstreams.stable]
endpoints = [{ address = "127.0.0.1:${stable}" }]
[upstreams.canary]
endpoints = [{ address = "127.0.0.1:${next}" }]
[[routes]]
name = "web"
upstream = "stable"
canary = { flag = "web-canary", upstream = "canary" }
[access_log]
enabled = false
`;
  [world, chrome] = await Promise.all([gateway(join(folder, "flaggate.toml"), text), browser()]);
  await world.ask("POST", "/flags", { key: "web-canary", name: "Web canary", default_value: false, rollout_enabled: true, rollout_percentage: 0 });
});
after(async () => {
  await chrome?.close();
  await world?.stop();
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
const open = (path, more = {}) => chrome.page(world.base, path, { allowed: (text) => /status of (404|409|422)/.test(text), ...more });

/** Sends requests of many users until it is told to stop. */
function users(listener) {
  let stopped = false;
  const one = async (first) => {
    for (let number = first; !stopped; number += 8) await fetch(listener, { headers: { "x-user-id": `user-${number % 4000}` } }).then((answer) => answer.text());
  };
  const all = Promise.all(Array.from({ length: 8 }, (_, first) => one(first)));
  return async () => {
    stopped = true;
    await all;
  };
}
const status = async (id) => (await world.ask("GET", `/deployments/${id}`)).status?.state ?? "pending";

check("a deployment is made from choices, started, paused, resumed, promoted and completed", async () => {
  const page = await open("/new-deployment");
  await page.getByLabel("Id", { exact: true }).fill("steps");
  await page.getByLabel("Shares in %").fill("10, 50, 100");
  await page.getByLabel("Time of each").fill("1h");
  await page.getByLabel("the judge compares").uncheck();
  await page.getByLabel("Approved by").fill("product");
  await until("it may be created", () => page.getByRole("button", { name: "Create" }).isEnabled());
  await picture(page, "deployment-new");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("button", { name: "Start" }).click();
  const stages = page.getByRole("list", { name: "Stages" });
  await stages.getByText("in progress").waitFor();
  await until("a tenth gets it", async () => (await world.ask("GET", "/flags/web-canary")).rollout_percentage === 10);
  await page.getByRole("button", { name: "Pause…" }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("lunch");
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await until("it is paused", async () => (await status("steps")) === "paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await until("it goes on", async () => (await status("steps")) === "in_progress");
  await page.getByRole("button", { name: "Promote", exact: true }).click();
  await until("half of them get it", async () => (await world.ask("GET", "/flags/web-canary")).rollout_percentage === 50);
  await page.getByRole("button", { name: "Promote", exact: true }).click();
  await until("it waits at the gate", async () => (await status("steps")) === "validating");
  await page.getByText(/Waits for:.*product/).waitFor();
  await picture(page, "deployment-gate");
  await page.getByLabel("Approve as").selectOption("product");
  await page.getByRole("button", { name: "Approve" }).click();
  await page.locator("h1").getByText("completed").waitFor();
  const list = await open("/deployments");
  await list.getByText("completed").waitFor();
});

check("YAML is pasted or uploaded, and its faults have a place", async () => {
  const page = await open("/new-deployment");
  const text = page.getByLabel("YAML");
  await text.fill("id: a\n  b: [");
  await page.getByRole("alert").getByText(/line \d/).waitFor();
  await text.fill("id: pasted\nname: Pasted\nstages:\n  - { name: one, strategy: feature_flag, config: { flag_key: nothing, rollout_stages: [{ percentage: 100 }] } }\n");
  await page.getByRole("alert").getByText("/stages/0/config/flag_key").waitFor();
  assert.ok(await page.getByRole("button", { name: "Create" }).isDisabled());
  const good = "id: uploaded\nname: Uploaded\nstages:\n  - { name: one, strategy: canary, config: { route: web, steps: [{ set_weight: 100 }] } }\n";
  await page.locator("input[type=file]").setInputFiles({ name: "d.yaml", mimeType: "text/yaml", buffer: Buffer.from(good) });
  await until("it may be created", () => page.getByRole("button", { name: "Create" }).isEnabled());
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Uploaded" }).waitFor();
});

check("a broken canary is rolled back before one's eyes", async () => {
  await world.ask("PATCH", "/flags/web-canary", { rollout_percentage: 0 });
  canary.fails = 30;
  const stop = users(`${world.gateway}/`);
  try {
    await world.ask("POST", "/deployments", {
      id: "broken", name: "Broken canary",
      stages: [{ name: "canary", strategy: "canary", config: {
        route: "web", steps: [{ set_weight: 20 }, { analysis: "5m" }, { set_weight: 100 }],
        analysis: { interval: "1s", metrics: [{ name: "error_rate", max_ratio: 1.5 }] } } }],
    });
    const page = await open("/deployments/broken");
    await page.getByRole("button", { name: "Start" }).click();
    const judge = page.getByRole("region", { name: "The judge" });
    await judge.getByText(/evidence .* needed/).waitFor({ timeout: 30_000 });
    const sides = page.getByRole("region", { name: "Both sides" });
    await sides.getByText("canary → canary").first().waitFor();
    await page.locator("h1").getByText("rolled back").waitFor({ timeout: 60_000 });
    await judge.getByText("fail", { exact: true }).waitFor();
    assert.match(await judge.getByRole("row", { name: /errors/ }).innerText(), /[2-5]\d % of/);
    await picture(page, "deployment-broken");
    await until("nobody gets it", async () => (await world.ask("GET", "/flags/web-canary")).rollout_percentage === 0);
    // Requests on their way may still arrive; then there are none.
    let last;
    await until("the bad side is left alone", async () => {
      const before = canary.asked;
      await new Promise((later) => setTimeout(later, 300));
      last = canary.asked - before;
      return last === 0;
    });
  } finally {
    await stop();
  }
});
