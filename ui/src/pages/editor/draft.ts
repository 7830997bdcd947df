// A flag that is being changed: what was read, what it is to be, and what of it is sent.
import type { Fault } from "../../api/client";
import type { Flag } from "../../api/types";

export type Draft = Flag & Record<string, unknown>;

/** The fields that differ; one that is gone is null. Nothing else is sent, so nothing else is set. */
export function patchOf(before: Record<string, unknown>, after: Record<string, unknown>): Record<string, unknown> {
  const same = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !same(before[name], after[name]));
  return Object.fromEntries(names.map((name) => [name, after[name] === undefined ? null : after[name]]));
}

/** The faults at a place and below it. */
export const faultsAt = (faults: Fault[], pointer: string) =>
  faults.filter((fault) => fault.pointer === pointer || fault.pointer.startsWith(`${pointer}/`)).map(({ message }) => message);

export const empty = (key: string): Draft => ({
  key,
  flag_type: "boolean",
  default_value: false,
  enabled: true,
  targeting_enabled: false,
  rollout_enabled: false,
  hash: "md5",
});

/** A value of a type that a new variation or rule begins with. */
export const initial = (type: string): unknown => (type === "boolean" ? true : type === "number" ? 0 : type === "json" ? {} : "");
