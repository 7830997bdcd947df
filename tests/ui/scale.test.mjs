// Ten thousand flags, and a hundred changes a second. The bounds are far from what is measured: they guard against what is broken;
// FLAGGATE_MEASURE=full prints the figures.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, gateway } from "./harness.mjs";

const isFull = process.env.FLAGGATE_MEASURE === "full";
const flags = 10_000;
let folder;
let world;
let chrome;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "flaggate-scale-"));
  const seed = Array.from({ length: flags }, (_, at) => ({
    key: `flag-${at}`, name: `Flag ${at}`, description: "one of many", tags: ["web", `team-${at % 40}`], rollout_enabled: true, rollout_percentage: at % 100,
    targeting_enabled: true, targeting_rules: [{ attribute: "country", operator: "in", value: ["DE", "FR"], return_value: true }],
  }));
  await writeFile(join(folder, "seed.json"), JSON.stringify(seed));
  const text = `
[[listeners]]
name = "web"
address = "127.0.0.1:{listener}"
[admin]
address = "127.0.0.1:{admin}"
[store]
kind = "memory"
seed = "${folder}/seed.json"
[upstreams.none]
endpoints = [{ address = "127.0.0.1:9" }]
[[routes]]
name = "all"
upstream = "none"
`;
  [world, chrome] = await Promise.all([gateway(join(folder, "flaggate.toml"), text), browser()]);
});
after(async () => {
  await chrome?.close();
  await world?.stop();
  await rm(folder, { recursive: true, force: true });
});

const quantile = (numbers, share) => [...numbers].sort((one, other) => one - other)[Math.floor((numbers.length - 1) * share)];

test("a list of ten thousand flags scrolls, and a hundred changes a second leave the page time", async () => {
  const page = await chrome.page(world.base, "/flags");
  page.setDefaultTimeout(60_000);
  await page.getByRole("status").getByText(/^\s*10,000\s*$/).waitFor();
  const frames = await page.evaluate(async () => {
    const isScrolled = (element) => element.scrollHeight > element.clientHeight * 10 && getComputedStyle(element).overflowY !== "visible";
    const list = [...document.querySelectorAll("main *")].find(isScrolled) ?? document.scrollingElement;
    const times = [];
    await new Promise((done) => {
      let last;
      const frame = (now) => {
        if (last !== undefined) times.push(now - last);
        last = now;
        list.scrollTop += 700;
        if (times.length < 240) requestAnimationFrame(frame);
        else done();
      };
      requestAnimationFrame(frame);
    });
    const at = list.scrollTop;
    list.scrollTop = 0;
    return { times, at };
  });
  assert.ok(frames.at > 100_000, `scrolled to ${frames.at}`);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  const busy = async () => (await cdp.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value;
  const seconds = isFull ? 20 : 4;
  const [began, before] = [Date.now(), await busy()];
  let sent = 0;
  while (Date.now() - began < seconds * 1000) {
    // As many as are due by now.
    const due = Math.floor((Date.now() - began) / 10);
    // Those that are on the screen, as keys are sorted.
    for (; sent < due; sent += 1) await world.ask("PATCH", `/flags/flag-100${sent % 10}`, { rollout_percentage: sent % 100 });
    await new Promise((later) => setTimeout(later, 5));
  }
  const elapsed = (Date.now() - began) / 1000;
  const share = ((await busy()) - before) / elapsed;
  const figures = `frames p50 ${quantile(frames.times, 0.5).toFixed(1)} ms, p95 ${quantile(frames.times, 0.95).toFixed(1)} ms, max ${Math.max(...frames.times).toFixed(1)} ms; ${(sent / elapsed).toFixed(0)} changes/s take ${(share * 100).toFixed(0)} % of the main thread`;
  if (isFull) console.log(figures);
  assert.ok(quantile(frames.times, 0.95) < 100 && share < 0.9, figures);
});
