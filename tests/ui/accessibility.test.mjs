// No page has a serious finding of axe-core: light and dark, wide and narrow. And what a first load takes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { browser, demo, picture } from "./harness.mjs";

const root = resolve(import.meta.dirname, "../..");
const axe = readFileSync(createRequire(join(root, "ui/package.json")).resolve("axe-core/axe.min.js"), "utf8");

/** All pages, by the table that the dashboard itself goes by; `:name` stands for something of the demo's world. */
const known = { key: "theme", id: "paying_customers", name: "shop" };
const paths = [...readFileSync(join(root, "ui/src/pages/pages.ts"), "utf8").matchAll(/ page\("([^"]+)"/g)].map(([, path]) => path);

let world;
let chrome;

before(async () => {
  [world, chrome] = await Promise.all([demo(), browser()]);
  const { routes } = await world.ask("GET", "/routes");
  known.name = routes[0].name;
  await world.ask("POST", "/deployments", { id: "d1", name: "One", stages: [{ name: "one", strategy: "feature_flag", config: { flag_key: "checkout-canary", rollout_stages: [{ percentage: 100 }] } }] });
});
after(async () => {
  await chrome?.close();
  await world?.stop();
});

const place = (path) => path.replace("/deployments/:id", "/deployments/d1").replace("/users/:id", "/users/user-1").replace(/:(\w+)/g, (_, name) => known[name]);

for (const [width, dark] of [[1380, false], [1380, true], [390, false]]) {
  test(`no serious finding, ${width} px, ${dark ? "dark" : "light"}`, async () => {
    const found = [];
    for (const path of paths) {
      const page = await chrome.page(world.base, place(path), { width, dark, allowed: (text) => /status of 4/.test(text) });
      await page.locator("main h1, main h2").first().waitFor();
      // What is still on its way is there by then.
      await page.waitForLoadState("networkidle").catch(() => undefined);
      // Playwright's own world is not bound by the page's policy.
      const cdp = await page.context().newCDPSession(page);
      await cdp.send("Page.enable");
      const { frameTree } = await cdp.send("Page.getFrameTree");
      const { executionContextId } = await cdp.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
      await cdp.send("Runtime.evaluate", { contextId: executionContextId, expression: axe });
      const { result } = await cdp.send("Runtime.evaluate", {
        contextId: executionContextId, awaitPromise: true, returnByValue: true,
        expression: "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 3).map(({ html }) => html.slice(0, 160)) })))",
      });
      found.push(...result.value.filter(({ impact }) => impact === "serious" || impact === "critical").map((one) => ({ path, ...one })));
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 0) found.push({ path, id: "overflow", overflow });
      await picture(page, `all ${path.replaceAll("/", "_")} ${width} ${dark ? "dark" : "light"}`);
      await page.context().close();
    }
    assert.deepEqual(found, []);
  });
}

test("a first load takes at most 150 kB", async () => {
  const page = await chrome.page(world.base, "/flags");
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: true });
  let bytes = 0;
  cdp.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await page.goto(`${world.base}/ui/`);
  await page.locator("main h1, main h2").first().waitFor();
  await page.waitForLoadState("networkidle").catch(() => undefined);
  assert.ok(bytes > 20_000 && bytes < 150_000, `${bytes} bytes`);
});
