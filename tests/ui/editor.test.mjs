// Flags made, changed, rolled back and deleted through the pages: against the real binary with the demo's world.
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

/** A test that fails as well if a page complains, or asks anybody else. What is refused while one types is no fault of the page. */
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
const refused = (text) => /status of (404|409|412|422)/.test(text);
const open = (path, more = {}) => chrome.page(world.base, path, { allowed: refused, ...more });
const value = async (key, user_id, attributes = {}) => (await world.ask("POST", `/flags/${key}/evaluate`, { user_id, attributes })).value;

check("a flag is made with forms alone, and the gateway gives what it says", async () => {
  const page = await open("/new-flag");
  await page.getByLabel("Key", { exact: true }).fill("banner");
  await page.getByLabel("Type").selectOption("string");
  await page.getByLabel("Name", { exact: true }).fill("Banner");
  await page.getByLabel("Tags").fill("web, shop");
  await page.getByLabel("Default value").fill("none");
  for (const [at, name] of ["big", "small"].entries()) {
    await page.getByRole("button", { name: "variation", exact: true }).click();
    await page.getByLabel(`Name of variation variant-${at + 1}`).fill(name);
    await page.getByLabel(`Name of variation variant-${at + 1}`).press("Tab");
    await page.getByLabel(`Value of variation ${name}`).fill(`${name} banner`);
  }
  await page.getByLabel("Add a flag that is needed").fill("theme");
  await page.getByLabel("Add a flag that is needed").press("Tab");
  await page.getByRole("button", { name: "rule", exact: true }).click();
  await page.getByLabel("Attribute", { exact: true }).fill("country");
  await page.getByLabel("Operator", { exact: true }).selectOption("in");
  await page.getByLabel("Value", { exact: true }).fill("DE, FR");
  await page.getByRole("button", { name: "combine with other conditions" }).click();
  await page.getByRole("button", { name: "group", exact: true }).click();
  await page.getByLabel("How the conditions go together").nth(1).selectOption("none");
  await page.getByLabel("Attribute", { exact: true }).nth(1).fill("plan");
  await page.getByLabel("Value", { exact: true }).nth(1).fill("free");
  await page.getByLabel("Value", { exact: true }).nth(1).press("Tab");
  await page.getByLabel("Variation of rule 1").selectOption("big");
  await page.getByRole("region", { name: "Rollout" }).getByLabel("on", { exact: true }).check();
  await page.getByLabel("Percentage", { exact: true }).fill("100");
  await page.getByLabel("split them over the variations").check();
  await page.getByLabel("big gets %").fill("0");
  await page.getByLabel("big gets %").press("Tab");
  await page.getByText("Together they are 50 %").waitFor();
  await page.getByLabel("small gets %").fill("100");
  await page.getByLabel("small gets %").press("Tab");
  await page.getByText(/of .* recent users? moves?/).waitFor();
  await picture(page, "editor-new");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Banner" }).waitFor();
  assert.equal(await value("banner", "ann", { country: "DE", plan: "pro" }), "big banner");
  assert.equal(await value("banner", "ann", { country: "DE", plan: "free" }), "small banner");
  assert.equal(await value("banner", "ann", { country: "US" }), "small banner");
  await world.ask("PATCH", "/flags/theme", { enabled: false });
  assert.equal(await value("banner", "ann", { country: "DE", plan: "pro" }), "none");
  await world.ask("PATCH", "/flags/theme", { enabled: true });
});

check("faults stand at their place, and nothing is saved until they are gone", async () => {
  const page = await open("/flags/banner/edit");
  await page.getByLabel("Percentage", { exact: true }).fill("140");
  await page.getByLabel("Percentage", { exact: true }).press("Tab");
  await page.getByRole("region", { name: "Rollout" }).locator(".error").first().waitFor();
  assert.ok(await page.getByRole("button", { name: "Save" }).isDisabled());
  await page.getByRole("alert").getByText("/rollout_percentage").waitFor();
  await page.getByLabel("Percentage", { exact: true }).fill("100");
  await page.getByLabel("Percentage", { exact: true }).press("Tab");
  await page.getByText("Nothing is changed yet.").waitFor();
  const key = await open("/new-flag");
  await key.getByLabel("Key", { exact: true }).fill("banner");
  await key.getByRole("alert").waitFor();
  assert.ok(await key.getByRole("button", { name: "Create" }).isDisabled());
});

check("only what was changed is sent, and it is seen before whom it reaches", async () => {
  const before = await world.ask("GET", "/export");
  const page = await open("/flags/checkout-canary/edit");
  await page.getByLabel("Percentage", { exact: true }).fill("100");
  await page.getByLabel("Percentage", { exact: true }).press("Tab");
  const review = page.getByRole("complementary", { name: "Before it is saved" });
  await review.getByText(/of .* recent users? move/).waitFor();
  const moved = Number((await review.locator(".reach b").innerText()).replace(/\D/g, ""));
  assert.ok(moved > 0, `${moved} move`);
  assert.deepEqual(await review.locator("code", { hasText: /^\// }).allInnerTexts(), ["/rollout_percentage"]);
  await picture(page, "editor");
  const phone = await open("/flags/checkout-canary/edit", { width: 390, height: 900, dark: true });
  await phone.getByText("Nothing is changed yet.").waitFor();
  assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  await picture(phone, "editor-phone-dark");
  await review.getByRole("button", { name: "Save" }).click();
  await page.getByText("checkout-canary is changed").waitFor();
  const find = (all) => all.flags.find(({ key }) => key === "checkout-canary");
  const [old, now] = [find(before), find(await world.ask("GET", "/export"))];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]));
  assert.deepEqual(names.filter((name) => !name.startsWith("updated_")), ["rollout_percentage"]);
});

check("a change in one browser is seen in another within a second", async () => {
  const other = await open("/flags/checkout-canary");
  await other.getByText("100 %").first().waitFor();
  const page = await open("/flags/checkout-canary/edit");
  await page.getByLabel("Percentage", { exact: true }).fill("37");
  await page.getByLabel("Percentage", { exact: true }).press("Tab");
  await page.getByText(/of .* recent users? move/).waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("checkout-canary is changed").waitFor();
  await other.getByText("37 %").first().waitFor({ timeout: 1000 });
});

check("who is too late sees what the other did, and loses nothing", async () => {
  const page = await open("/flags/banner/edit");
  await page.getByLabel("Owner", { exact: true }).fill("team-a");
  await page.getByRole("complementary").getByText("/owner").waitFor();
  await world.ask("PATCH", "/flags/banner", { description: "by another" });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(/Somebody else changed description/).waitFor();
  assert.equal(await page.getByLabel("Owner", { exact: true }).inputValue(), "team-a");
  assert.equal(await page.getByLabel("Description", { exact: true }).inputValue(), "by another");
  await page.getByRole("complementary").getByText("/owner").waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("banner is changed").waitFor();
  const flag = await world.ask("GET", "/flags/banner");
  assert.deepEqual([flag.owner, flag.description], ["team-a", "by another"]);
});

check("the history shows what differed, and leads back after a look", async () => {
  const page = await open("/flags/banner");
  const history = page.getByRole("region", { name: "History" });
  await history.getByText("/owner").waitFor();
  await history.getByRole("button", { name: /Roll back to r1…/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("/owner").waitFor();
  assert.equal((await world.ask("GET", "/flags/banner")).owner, "team-a");
  await picture(page, "rollback");
  await dialog.getByRole("button", { name: "Roll back" }).click();
  await page.getByText("banner is as it was in revision 1").waitFor();
  await until("it is back", async () => (await world.ask("GET", "/flags/banner")).owner === undefined);
});

check("JSON and forms are the same flag, and fields that no form knows stay", async () => {
  const page = await open("/flags/banner/edit");
  await page.getByRole("button", { name: "JSON" }).click();
  const text = page.getByLabel("The flag as it will be");
  const flag = JSON.parse(await text.inputValue());
  await text.fill("{");
  await page.locator(".error").first().waitFor();
  assert.ok(await page.getByRole("button", { name: "Save" }).isDisabled());
  await text.fill(JSON.stringify({ ...flag, salt: "s1", owner: "team-b" }));
  await page.getByRole("button", { name: "Form" }).click();
  assert.equal(await page.getByLabel("Owner", { exact: true }).inputValue(), "team-b");
  await page.getByRole("complementary").getByText("/salt").waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("banner is changed").waitFor();
  assert.equal((await world.ask("GET", "/flags/banner")).salt, "s1");
});

check("a flag is duplicated, and deleted by who types its key", async () => {
  const page = await open("/flags/banner");
  await page.getByRole("link", { name: "Duplicate" }).click();
  await page.getByText("A new flag.").waitFor();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Banner (copy)" }).waitFor();
  await page.getByRole("button", { name: "Delete…" }).click();
  const dialog = page.getByRole("dialog");
  const remove = dialog.getByRole("button", { name: "Delete", exact: true });
  await dialog.getByRole("textbox").fill("banner");
  assert.ok(await remove.isDisabled());
  await dialog.getByRole("textbox").fill("banner-copy");
  await remove.click();
  await page.getByText("banner-copy is deleted").waitFor();
  await until("it is gone", async () => !(await world.ask("GET", "/flags")).some(({ key }) => key === "banner-copy"));
});
