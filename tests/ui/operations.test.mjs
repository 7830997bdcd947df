// What is wrong, who changed what, and what becomes of a request: against the real binary with the demo's world.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, demo, picture, until } from "./harness.mjs";

let world;
let chrome;

before(async () => {
  [world, chrome] = await Promise.all([demo({ traffic: false }), browser()]);
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

check("a request is explained, however it is pasted, and follows the flags", async () => {
  const page = await chrome.page(world.base, "/explain");
  const request = page.getByLabel("curl line, request or address");
  const way = page.getByRole("region", { name: "Its way" });
  await way.getByText("v2-feature-a").first().waitFor();
  for (const [pasted, upstream] of [
    ["curl 'http://shop.example/cart?a=1' \\\n  -H \"X-User-Id: user-1\" --header X-User-Plan:\\ pro -o /dev/null", "v2-feature-a"],
    ["GET /cart HTTP/1.1\nHost: shop.example\nX-User-Id: user-1\nX-User-Plan: pro", "v2-feature-a"],
    ["curl -A 'it''s me' http://shop.example/ -H 'X-User-Id: user-1'", "v1-green"],
    ["http://shop.example/", "v1-"],
  ]) {
    await request.fill(pasted);
    await way.getByText(upstream).first().waitFor();
  }
  await request.fill("curl http://shop.example/ -H 'X-User-Id: user-1'");
  await way.getByText("v1-green").first().waitFor();
  await page.getByText("x-flaggate-route").waitFor();
  await page.locator("summary", { hasText: "checkout-canary" }).click();
  await page.locator("details[open]").getByText("the first 10 % of the buckets").waitFor();
  await picture(page, "explain");
  await world.ask("PATCH", "/flags/checkout-canary", { rollout_percentage: 100 });
  await way.getByText("v2-canary").first().waitFor();
  await world.ask("PATCH", "/flags/checkout-canary", { rollout_percentage: 10 });
  await request.fill("GET /%00 HTTP/1.1");
  await way.getByText("400").waitFor();
  assert.match(page.url(), /request=/, "the address says what is looked at");
});

check("the audit log tells who changed what, and is filtered", async () => {
  const page = await chrome.page(world.base, "/audit");
  await page.locator("summary", { hasText: "paying_customers" }).waitFor();
  await page.getByLabel("Key").fill("theme");
  await until("only that flag is left", async () => (await page.locator("ol > li").count()) === 1);
  await world.ask("PATCH", "/flags/theme", { rollout_percentage: 7 });
  await page.getByRole("button", { name: "Show what is new" }).click();
  await page.locator("summary", { hasText: "updated" }).click();
  const change = page.locator("details[open] li", { hasText: "/rollout_percentage" });
  assert.match(await change.innerText(), /→ 7$/);
  await picture(page, "audit");
  await page.getByLabel("Action").selectOption("deleted");
  await page.getByText("There is no such entry.").waitFor();
});

check("diagnostics tell what is not as it should be", async () => {
  const page = await chrome.page(world.base, "/diagnostics");
  await page.getByText("at_risk_churn").waitFor();
  await page.getByText("answers").waitFor();
  await page.getByText("7 flags, 7 segments").waitFor();
  await picture(page, "diagnostics");
  const phone = await chrome.page(world.base, "/diagnostics", { width: 390, height: 800 });
  await phone.getByText("at_risk_churn").waitFor();
  const overflow = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0);
});
