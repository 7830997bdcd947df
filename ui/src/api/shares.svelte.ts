// What variations flags gave lately, for the small pictures of the list. Asked for only for what is on the screen, a few at a time.
import { SvelteMap } from "svelte/reactivity";
import { get, part } from "./client";
import type { FlagAnalytics } from "./types";

export type Series = FlagAnalytics["series"];

const keptFor = 60_000;
const together = 3;
/** Who scrolls past does not ask. */
const looksFor = 150;

const known = new SvelteMap<string, { series: Series; at: number }>();
const waiting: string[] = [];
let asking = 0;

export const sharesOf = (key: string): Series | undefined => known.get(key)?.series;

/** Asks for a flag's shares while somebody looks at it; returns what ends that. */
export function lookAtShares(key: string): () => void {
  const timer = setTimeout(() => {
    const found = known.get(key);
    if (found && Date.now() - found.at < keptFor) return;
    if (!waiting.includes(key)) waiting.push(key);
    next();
  }, looksFor);
  return () => {
    clearTimeout(timer);
    const at = waiting.indexOf(key);
    if (at >= 0) waiting.splice(at, 1);
  };
}

function next() {
  while (asking < together && waiting.length > 0) {
    const key = waiting.shift()!;
    asking += 1;
    get<FlagAnalytics>(`/analytics/flags/${part(key)}`, { from: "30m", step: "1m" })
      .then(({ series }) => known.set(key, { series, at: Date.now() }))
      .catch(() => known.set(key, { series: [], at: Date.now() }))
      .finally(() => {
        asking -= 1;
        next();
      });
  }
}
