// What the frame of every page shows: gateways, active kill switches, what is wrong.
import { get } from "./client";
import { onUpdate } from "./live.svelte";
import type { Flag, Gateways, KillSwitch } from "./types";

let gateways = $state.raw<Gateways | undefined>(undefined);
let switches = $state.raw<KillSwitch[]>([]);
let stale = $state.raw<Set<string>>(new Set());
let faulty = $state.raw<Set<string>>(new Set());

export const world = {
  get gateways() {
    return gateways;
  },
  /** The kill switches that are active. */
  get switches() {
    return switches;
  },
  /** Flags that should be removed. */
  get stale() {
    return stale;
  },
  /** Flags whose documents have faults. */
  get faulty() {
    return faulty;
  },
};

export async function readGateways(signal?: AbortSignal) {
  gateways = await get<Gateways>("/gateways", {}, signal);
}

export async function readSwitches() {
  switches = await get<KillSwitch[]>("/kill-switches", { state: "active" });
}

export async function readMarks() {
  const [found, wrong] = await Promise.all([
    get<{ flags: { key: string }[] }>("/flags/stale", { report: "true" }),
    get<{ documents: { kind: string; key: string }[] }>("/diagnostics"),
  ]);
  stale = new Set(found.flags.map(({ key }) => key));
  faulty = new Set(wrong.documents.filter(({ kind }) => kind === "flag").map(({ key }) => key));
}

onUpdate((update) => {
  const isOfSwitches = update.type === "kill_switch_update" || (update.type === "snapshot" && update.kind === "kill_switches");
  if (isOfSwitches) void readSwitches().catch(() => undefined);
});

/** The switches that kill a flag, for everybody or for some. */
export function killedBy(flag: Pick<Flag, "key" | "tags">): KillSwitch[] {
  const names = new Set([flag.key, ...(flag.tags ?? []).map((tag) => `tag:${tag}`)]);
  return switches.filter((one) => {
    if (one.exempt_critical && flag.tags?.includes("critical")) return false;
    const features = [...(one.affected_features ?? [])];
    if (one.scope === "feature" && one.scope_value) features.push(one.scope_value);
    if (features.some((feature) => names.has(feature))) return true;
    const isBroad = one.scope === "global" || one.scope === "region" || one.scope === "user_segment";
    return isBroad && features.length === 0 && (one.affected_services ?? []).length === 0;
  });
}

/** The switches that kill a route or an upstream. */
export const serviceKilledBy = (service: string) =>
  switches.filter((one) => one.affected_services?.includes(service) || (one.scope === "service" && one.scope_value === service));
