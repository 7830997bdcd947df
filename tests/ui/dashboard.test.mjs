// The dashboard against the real binary with the demo's users: `make test-ui`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { browser, demo, flaggate, gateway, picture, until } from "./harness.mjs";

const ui = join(import.meta.dirname, "../../ui");

let world;
let chrome;

before(async () => {
  [world, chrome] = await Promise.all([demo(), browser()]);
});
after(async () => {
  await chrome?.close();
  await world?.stop();
});

/** A test that fails as well if a page complains, or asks anybody else. */
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

test("the types are those of the API", () => {
  const document = spawnSync(flaggate, ["openapi"], { encoding: "utf8", maxBuffer: 1 << 25 });
  const checked = spawnSync("node", ["types.mjs", "--check"], { cwd: ui, input: document.stdout, encoding: "utf8" });
  assert.equal(checked.status, 0, checked.stderr);
});

test("files are compressed, kept and guarded", async () => {
  const page = await fetch(`${world.base}/`, { redirect: "manual" });
  assert.deepEqual([page.status, page.headers.get("location")], [307, "/ui/"]);
  const index = await fetch(`${world.base}/ui/flags/some.key`);
  assert.match(index.headers.get("content-type"), /^text\/html/);
  assert.equal(index.headers.get("cache-control"), "no-cache");
  assert.doesNotMatch(index.headers.get("content-security-policy"), /unsafe|http/);
  const script = /src="(\/ui\/assets\/[^"]+\.js)"/.exec(await index.text())[1];
  const asset = await fetch(world.base + script);
  assert.equal(asset.headers.get("content-encoding"), "gzip");
  assert.match(asset.headers.get("cache-control"), /immutable/);
  const again = await fetch(world.base + script, { headers: { "if-none-match": asset.headers.get("etag") } });
  assert.equal(again.status, 304);
  const plain = await fetch(world.base + script, { headers: { "accept-encoding": "identity" } });
  assert.deepEqual([plain.headers.get("content-encoding"), await plain.text()], [null, await asset.text()]);
  const foreign = await fetch(`${world.base}/ui/`, { headers: { origin: "http://evil.example" } });
  assert.equal(foreign.status, 403);
});

check("the first load is at most 150 kB", async () => {
  const page = await chrome.page(world.base, "/");
  await page.getByText("v2-canary").first().waitFor();
  const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname));
  const files = loaded.filter((path) => path.startsWith("/ui/")).map((path) => path.slice("/ui/".length));
  assert.ok(files.some((file) => file.startsWith("assets/Home")), `${files}`);
  const bytes = ["index.html", ...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(ui, "dist", file)), { level: 9 }).length, 0);
  console.log(`first load: ${(bytes / 1000).toFixed(1)} kB compressed`);
  assert.ok(bytes <= 150_000, `${bytes} bytes`);
});

check("home shows where the users go", async () => {
  const page = await chrome.page(world.base, "/");
  const canary = page.locator(".box.upstream", { hasText: "v2-canary" });
  await until("the canary has users", async () => /[1-9]/.test(await canary.locator(".rate").innerText()));
  await page.getByRole("heading", { name: "Worth a look" }).waitFor();
  // The newest changes are those of the seed.
  await page.getByText("paying_customers").waitFor();
  await page.locator("text=in step").first().waitFor();
  // So that all bands are as wide as in the long run.
  await until("the window is full", async () => Number.parseFloat(await page.locator(".box.users .rate").innerText()) > 30, 20_000);
  await picture(page, "home");
  await picture(await dressed(page, "dark"), "home-dark");
});

/** The same page in the other colours. */
async function dressed(page, colors) {
  await page.getByRole("button", { name: colors === "dark" ? "Dark colours" : "Light colours" }).click();
  await page.locator(`html[data-theme="${colors}"]`).waitFor();
  return page;
}

check("flags are listed, searched and opened", async () => {
  const page = await chrome.page(world.base, "/flags");
  await page.getByRole("link", { name: "checkout-canary" }).waitFor();
  await until("a share is drawn", async () => (await page.locator(".shares svg rect").count()) > 10);
  await page.getByText("stale", { exact: true }).nth(1).waitFor();
  await picture(page, "flags");
  await page.keyboard.press("/");
  await page.keyboard.type("search");
  await until("one is left", async () => (await page.getByRole("row").count()) === 2);
  assert.match(page.url(), /\/ui\/flags/);
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "new-search" }).click();
  await page.getByRole("heading", { name: "New search" }).waitFor();
  assert.match(page.url(), /\/ui\/flags\/new-search$/);
  await page.goBack();
  await page.getByRole("link", { name: "new-search" }).waitFor();
});

check("a user's value is explained", async () => {
  const page = await chrome.page(world.base, "/flags/new-search");
  await page.getByLabel("User id").fill("user-1");
  await page.getByLabel("Attributes").fill("country = DE");
  await page.locator(".result .value", { hasText: "true" }).waitFor();
  await page.getByText("country equals, saw DE").waitFor();
  await page.getByLabel("Attributes").fill("country = FR");
  await page.getByText("saw FR: the value does not match").waitFor();
  await page.locator(".result .value", { hasText: "false" }).waitFor();
  await picture(page, "flag");
});

check("a change in one browser appears in another within a second", async () => {
  const [one, other] = await Promise.all([chrome.page(world.base, "/flags/theme"), chrome.page(world.base, "/flags")]);
  const row = other.getByRole("row", { name: /^theme/ });
  await row.getByText("on", { exact: true }).waitFor();
  await one.getByRole("switch", { name: "Enabled" }).waitFor();
  const began = Date.now();
  await one.getByRole("switch", { name: "Enabled" }).click();
  await row.getByText("off", { exact: true }).waitFor({ timeout: 1000 });
  console.log(`seen in the other browser after ${Date.now() - began} ms`);
  await one.getByRole("switch", { name: "Enabled" }).click();
  await row.getByText("on", { exact: true }).waitFor({ timeout: 1000 });
});

check("a kill takes two clicks and a reason, and stops the traffic on the picture", async () => {
  const [flag, home] = await Promise.all([chrome.page(world.base, "/flags/checkout-canary"), chrome.page(world.base, "/")]);
  const canary = home.locator(".box.upstream", { hasText: "v2-canary" });
  await until("the canary has users", async () => /[1-9]/.test(await canary.locator(".rate").innerText()));
  await flag.locator("main").getByRole("button", { name: "Kill…" }).click();
  await flag.getByText("1 flag will give the default value").waitFor();
  await flag.getByLabel("Reason").fill("errors in the checkout");
  await picture(flag, "kill");
  await flag.getByRole("button", { name: "Kill now" }).click();
  await flag.getByText(/^1 of 1 gateway in [\d.]+ ms$/).waitFor();
  await flag.getByRole("button", { name: "Done" }).click();
  await flag.getByText("Killed by").waitFor();
  await home.locator(".box.strategy", { hasText: "checkout-canary" }).getByText("killed").waitFor({ timeout: 1000 });
  await until("nobody reaches the canary", async () => (await canary.locator(".rate").innerText()) === "0/s", 8000);
  await picture(home, "home-killed");
  await flag.locator("main").getByRole("button", { name: "Lift" }).click();
  await flag.getByText("checkout-canary is lifted").waitFor();
  await until("the canary has users again", async () => /[1-9]/.test(await canary.locator(".rate").innerText()), 8000);
});

check("a phone has it all, behind a menu", async () => {
  const page = await chrome.page(world.base, "/", { width: 390, height: 844 });
  await page.locator(".box.upstream").first().waitFor();
  await until("there is traffic", async () => /[1-9]/.test(await page.locator(".box.upstream .rate").first().innerText()));
  await until("the bands stand still", async () => (await page.getByText("Looking…").count()) === 0);
  await picture(page, "home-phone");
  for (const [name, path] of [["Flags", "/flags"], ["Kill switches", "/kill"]]) {
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("navigation").getByRole("link", { name }).click();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    assert.ok(page.url().endsWith(`/ui${path}`), page.url());
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wider <= 0, `${path} is ${wider} px too wide`);
  }
  await page.goto(`${world.base}/ui/flags/theme`);
  await page.getByRole("heading", { name: "Theme" }).waitFor();
  await picture(page, "flag-phone");
});

check("the keyboard suffices", async () => {
  const page = await chrome.page(world.base, "/");
  await page.locator(".box.upstream").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await page.getByRole("banner").getByRole("button", { name: "Kill…" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.closest("dialog") !== null));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Flags", exact: true }).focus();
  await page.keyboard.press("Enter");
  // Home has links of this name as well.
  await page.getByRole("row").getByRole("link", { name: "checkout-canary" }).focus();
  await page.keyboard.press("ArrowDown");
  await until("the next row has the focus", () => page.evaluate(() => document.activeElement.textContent === "checkout-color"));
});

check("who logs in sees what the role may", async () => {
  const folder = mkdtempSync(join(tmpdir(), "flaggate-ui-"));
  const [viewer, editor] = ["viewer", "editor"].map((role) => ({ role, token: `flaggate_${randomBytes(32).toString("base64url")}` }));
  const tokens = [viewer, editor].map(({ role, token }) =>
    `[[admin.tokens]]\nname = "${role}"\nrole = "${role}"\nsha256 = "${createHash("sha256").update(token).digest("hex")}"\n`);
  const guarded = await gateway(join(folder, "flaggate.toml"), `
listeners = [{ name = "web", address = "127.0.0.1:{listener}" }]
store = { kind = "memory" }
upstreams.a.endpoints = [{ address = "127.0.0.1:9" }]
routes = [{ name = "web", upstream = "a" }]
[admin]
address = "127.0.0.1:{admin}"
${tokens.join("")}`);
  try {
    await guarded.ask("POST", "/flags", { key: "a", name: "A" }, { authorization: `Bearer ${editor.token}` });
    // A browser writes each refusal to its console; this one is meant to be.
    const allowed = (text) => text.includes("401");
    const page = await chrome.page(guarded.base, "/flags", { allowed });
    await page.getByLabel("Token").fill("flaggate_wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("this token is not known").waitFor();
    await page.getByLabel("Token").fill(viewer.token);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("link", { name: "a", exact: true }).click();
    await page.getByRole("heading", { name: "A", exact: true }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Kill…" }).count(), 0);
    assert.ok(await page.getByRole("switch", { name: "Enabled" }).isDisabled());
    // The API refuses it anyway.
    const answered = await page.evaluate(async () => {
      const { csrf } = await (await fetch("/session")).json();
      const refused = await fetch("/flags/a", { method: "PATCH", headers: { "x-csrf-token": csrf, "content-type": "application/json" }, body: '{"enabled":false}' });
      return refused.status;
    });
    assert.equal(answered, 403);
    chrome.wrong.splice(0, chrome.wrong.length, ...chrome.wrong.filter((line) => !line.includes("403")));
    await page.reload();
    await page.getByRole("heading", { name: "A", exact: true }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").fill(editor.token);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("switch", { name: "Enabled" }).click();
    await page.getByText("a is off").waitFor();
    await page.close();
  } finally {
    await guarded.stop();
    rmSync(folder, { recursive: true });
  }
});

test("nothing that is built names another host", () => {
  for (const entry of readdirSync(join(ui, "dist"), { recursive: true, withFileTypes: true })) {
    if (!/\.(js|css|html)$/.test(entry.name)) continue;
    const text = readFileSync(join(entry.parentPath, entry.name), "utf8");
    const hosts = [...text.matchAll(/https?:\/\/[\w.-]+/g)].map(([host]) => host);
    const others = hosts.filter((host) => !["http://www.w3.org", "https://svelte.dev"].includes(host));
    assert.deepEqual(others, [], entry.name);
  }
});
