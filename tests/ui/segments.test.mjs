// Segments and users: the real binary with imported profiles.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, demo, picture, until } from "./harness.mjs";

let world;
let chrome;

before(async () => {
  [world, chrome] = await Promise.all([demo({ traffic: false }), browser()]);
  const lines = Array.from({ length: 400 }, (_, at) => JSON.stringify({ user_id: `u${at}`, attributes: { plan: at % 4 === 0 ? "gold" : "free", country: at % 2 ? "DE" : "FR" }, behavioral_data: { visits: at % 10 } }));
  const answer = await fetch(`${world.base}/profiles:batch`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: lines.join("\n") });
  assert.ok(answer.ok, await answer.text());
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
const open = (path, more = {}) => chrome.page(world.base, path, { allowed: (text) => /status of (404|409|412|422)/.test(text), ...more });
const evaluate = async (user_id, ids) => (await world.ask("POST", "/segments/evaluate", { user_id, segments: ids })).segments;

check("a segment of rules is made with forms, and its size is told", async () => {
  const page = await open("/new-segment");
  await page.getByLabel("Id", { exact: true }).fill("gold");
  await page.getByLabel("Name", { exact: true }).fill("Gold");
  await page.getByRole("button", { name: "rule", exact: true }).click();
  await page.getByLabel("Field of rule 1").fill("plan");
  await page.getByLabel("Value of rule 1").fill("gold");
  await page.getByLabel("Value of rule 1").press("Tab");
  await page.getByText("A new segment.").waitFor();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Gold" }).waitFor();
  assert.deepEqual([await evaluate("u0", ["gold"]), await evaluate("u1", ["gold"])], [["gold"], []]);
  await page.getByRole("button", { name: "Estimate" }).click();
  await page.getByRole("status").filter({ hasText: "100 users" }).waitFor();
  await picture(page, "segment");
});

check("an expression is checked while one types, with the place of its fault", async () => {
  const page = await open("/new-segment");
  await page.getByLabel("Id", { exact: true }).fill("mixed");
  await page.getByLabel("Type").selectOption("composite");
  const expression = page.getByLabel("Segments with AND");
  await expression.fill("gold AND (");
  const region = page.getByRole("region", { name: "Expression" });
  await region.getByRole("alert").getByText(/at character \d+/).waitFor();
  await region.locator("mark").waitFor();
  await expression.fill("gold AND nobody_known");
  await region.getByRole("alert").getByText(/nobody_known/).waitFor();
  await expression.fill("NOT gold");
  await page.getByText("A new segment.").waitFor();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "mixed" }).waitFor();
  assert.deepEqual(await evaluate("u1", ["mixed"]), ["mixed"]);
});

check("overlaps are a heat map with the API's figures", async () => {
  const page = await open("/segments");
  const overlap = page.getByRole("region", { name: "Overlap" });
  await overlap.getByRole("button", { name: "Work it out" }).click();
  await overlap.getByRole("table").waitFor();
  const { segments } = await world.ask("GET", "/segments/overlap?ids=gold,mixed");
  assert.deepEqual(segments.map(({ members }) => members), [100, 300]);
  await overlap.getByRole("rowheader", { name: "gold 100" }).waitFor();
  await picture(page, "segments");
});

check("who is too late sees it, history leads back, and a segment is deleted", async () => {
  const page = await open("/segments/gold");
  await page.getByLabel("Description").fill("mine");
  await page.getByText("/description").waitFor();
  await world.ask("PATCH", "/segments/gold", { priority: 3 });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(/Somebody else changed priority/).waitFor();
  await page.getByText("/description").waitFor();
  await until("it may be saved", () => page.getByRole("button", { name: "Save" }).isEnabled());
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("gold is changed").waitFor();
  await page.getByRole("button", { name: "Roll back to r1…" }).click();
  await page.getByRole("dialog").getByText("/priority").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Roll back" }).click();
  await until("it is back", async () => (await world.ask("GET", "/segments/gold")).priority === 0);
  const other = await open("/segments/mixed");
  await other.getByRole("button", { name: "Delete…" }).click();
  await other.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await until("it is gone", async () => !(await world.ask("GET", "/segments")).some(({ id }) => id === "mixed"));
});

check("a user's page tells profile, segments, and what every flag gives and why", async () => {
  const page = await open("/segments");
  await page.getByLabel("User id").fill("u0");
  await page.getByRole("button", { name: "Show" }).click();
  await page.getByRole("region", { name: "Segments" }).getByRole("link", { name: "gold" }).waitFor();
  const flags = page.getByRole("region", { name: "What every flag gives" });
  await flags.getByRole("button", { name: /theme/ }).click();
  await flags.locator(".body").waitFor();
  await picture(page, "user");
  await page.getByLabel("Attributes and behavioral data").fill(JSON.stringify({ attributes: { plan: "free" } }));
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("The profile of u0 is stored").waitFor();
  await page.getByRole("region", { name: "Segments" }).getByRole("link", { name: "gold" }).waitFor({ state: "detached" });
});
