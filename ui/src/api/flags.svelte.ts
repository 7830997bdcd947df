// All flags, kept in step: read in pages once, then by what the live feed tells. A flag that changed is read anew when somebody
// looks at it, so that a storm of changes costs no more than what is on the screen.
import { SvelteMap, SvelteSet } from "svelte/reactivity";
import { ApiError, ask, get, part } from "./client";
import { onUpdate } from "./live.svelte";
import type { Flag } from "./types";

const firstPage = 200;
const page = 1000;
const gatherFor = 50;
const countEvery = 1000;
const together = 8;

const flags = new SvelteMap<string, Flag>();
/** Flags that changed since they were read. */
const outdated = new SvelteSet<string>();
const wanted = new Map<string, number>();
let keys = $state.raw<string[]>([]);
let tags = $state.raw<string[]>([]);
let counting: ReturnType<typeof setTimeout> | undefined;
let loaded = $state(false);
let failed = $state.raw<ApiError | undefined>(undefined);
let loading: Promise<void> | undefined;
let gathering: ReturnType<typeof setTimeout> | undefined;

export const flagStore = {
  /** The keys of all flags, sorted. */
  get keys() {
    return keys;
  },
  /** The tags of all flags, sorted; at most a second old. */
  get tags() {
    return tags;
  },
  get loaded() {
    return loaded;
  },
  get failed() {
    return failed;
  },
  get: (key: string) => flags.get(key),
  load: () => (loading ??= load()),
  /** Keeps a flag up to date while somebody looks at it; returns what ends that. */
  watch(key: string): () => void {
    wanted.set(key, (wanted.get(key) ?? 0) + 1);
    if (outdated.has(key) || !flags.has(key)) gather();
    return () => {
      const left = (wanted.get(key) ?? 1) - 1;
      if (left > 0) wanted.set(key, left);
      else wanted.delete(key);
    };
  },
  /** Reads a flag now. */
  refresh: read,
};

/** To look at all flags with each change of one would take too long. */
function countTags() {
  counting = undefined;
  tags = [...new Set([...flags.values()].flatMap((flag) => flag.tags ?? []))].sort();
}

async function load() {
  try {
    let cursor: string | undefined;
    const found: string[] = [];
    do {
      const limit = cursor ? page : firstPage;
      const answer = await ask<Flag[]>("GET", "/flags", undefined, { query: { limit, cursor } });
      for (const flag of answer.data) {
        flags.set(flag.key, flag);
        found.push(flag.key);
      }
      keys = [...found];
      cursor = /[?&]cursor=([^&>]+)/.exec(answer.headers.get("link") ?? "")?.[1];
      if (cursor) cursor = decodeURIComponent(cursor);
    } while (cursor);
    for (const key of flags.keys()) if (!found.includes(key) && found.length < 5000) flags.delete(key);
    loaded = true;
    failed = undefined;
    countTags();
  } catch (error) {
    failed = error instanceof ApiError ? error : undefined;
    loading = undefined;
    throw error;
  }
}

async function read(key: string): Promise<Flag | undefined> {
  outdated.delete(key);
  try {
    const flag = await get<Flag>(`/flags/${part(key)}`);
    if (String(flag.tags) !== String(flags.get(key)?.tags)) counting ??= setTimeout(countTags, countEvery);
    flags.set(key, flag);
    if (!keys.includes(key)) keys = [...keys, key].sort();
    return flag;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
    forget(key);
    return undefined;
  }
}

function forget(key: string) {
  flags.delete(key);
  outdated.delete(key);
  if (keys.includes(key)) keys = keys.filter((other) => other !== key);
}

/** Reads what is looked at and outdated, a few at a time. */
function gather() {
  gathering ??= setTimeout(async () => {
    gathering = undefined;
    const due = [...wanted.keys()].filter((key) => outdated.has(key) || !flags.has(key)).slice(0, together);
    await Promise.all(due.map((key) => read(key).catch(() => undefined)));
    if ([...wanted.keys()].some((key) => outdated.has(key))) gather();
  }, gatherFor);
}

onUpdate((update) => {
  if (update.type === "snapshot" && update.kind === "flags" && loaded) {
    loading = load();
    loading.catch(() => undefined);
  }
  if (update.type !== "flag_update" || !update.flag_key) return;
  const key = update.flag_key;
  if (update.action === "deleted") return forget(key);
  outdated.add(key);
  if (!flags.has(key) && loaded && !keys.includes(key)) void read(key).catch(() => undefined);
  else if (wanted.has(key)) gather();
});
