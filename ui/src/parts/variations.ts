// What a flag can give, in words and numbers.
import type { Flag } from "../api/types";

/** The names of a flag's variations, the default's last. */
export function variationsOf(flag: Flag): string[] {
  const named = Object.keys(flag.variants ?? {});
  if (named.length > 0) return named;
  return flag.flag_type === "boolean" || flag.flag_type === undefined ? ["true", "false"] : ["default"];
}

export interface Share {
  name: string;
  /** Of 1. */
  share: number;
}

/** Whom the rollout gives what, as it is configured: not counting targets, rules and stages. */
export function rolloutOf(flag: Flag): Share[] {
  if (!flag.rollout_enabled) return [];
  const taken = (flag.rollout_percentage ?? 0) / 100;
  const split = Array.isArray(flag.split) ? flag.split : [];
  const rest = fallback(flag);
  const shares: Share[] =
    split.length > 0
      ? split.map(({ variant, weight }) => ({ name: variant, share: (weight / 10_000) * taken }))
      : [{ name: variationsOf(flag)[0] ?? "true", share: taken }];
  if (taken < 1) shares.push({ name: rest, share: 1 - taken });
  return shares;
}

/** The name of the default value. */
export function fallback(flag: Flag): string {
  const found = Object.entries(flag.variants ?? {}).find(([, value]) => JSON.stringify(value) === JSON.stringify(flag.default_value));
  return found?.[0] ?? String(flag.default_value ?? "default");
}
