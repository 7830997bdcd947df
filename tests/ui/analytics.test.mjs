// What flags and routes do, as the pages tell it: the demo's traffic has planted effects.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, demo, picture, until } from "./harness.mjs";

let world;
let chrome;

before(async () => {
  [world, chrome] = await Promise.all([demo(), browser()]);
});
after(async () => {
  await chrome?.close();
  await world?.stop();
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

check("a flag's variations are shown beside the control, as the API tells them", async () => {
  await until("users did something", async () => (await world.ask("GET", "/analytics/flags/theme?from=1h")).variations.some(({ metrics }) => Object.keys(metrics).length > 0), 60_000);
  const page = await chrome.page(world.base, "/analytics");
  await page.getByRole("link", { name: "theme" }).click();
  await page.getByRole("heading", { name: "What theme does" }).waitFor();
  const figures = page.getByRole("region", { name: "Variations" });
  const { variations } = await world.ask("GET", "/analytics/flags/theme?from=1h");
  for (const { name } of variations) await figures.getByRole("rowheader", { name }).waitFor();
  await page.getByRole("region", { name: "Beside the control" }).getByText("Errors").waitFor();
  await page.getByText(/The users are (not )?split as the flag says/).waitFor();
  await picture(page, "analytics-flag");
  for (const figure of ["Users", "Errors", "p95"]) await page.getByRole("button", { name: figure, exact: true }).click();
  await page.getByRole("button", { name: "7d" }).click();
  const phone = await chrome.page(world.base, "/analytics/flags/theme", { width: 390, height: 900, dark: true });
  await phone.getByRole("region", { name: "Variations" }).waitFor();
  assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  await picture(phone, "analytics-phone-dark");
});

check("a route's ways are shown", async () => {
  const page = await chrome.page(world.base, "/analytics");
  const { routes } = await world.ask("GET", "/routes");
  await page.getByRole("region", { name: "Routes" }).getByRole("link", { name: routes[0].name }).click();
  const ways = page.getByRole("region", { name: "Ways" });
  await ways.getByRole("rowheader").first().waitFor();
  await picture(page, "analytics-route");
});
