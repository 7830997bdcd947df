// Rules in words.
import type { Rule } from "../api/types";
import { value } from "./format";

const words: Record<string, string> = {
  equals: "is", not_equals: "is not", in: "is one of", not_in: "is none of", contains: "contains", not_contains: "does not contain",
  greater_than: ">", less_than: "<", gte: "≥", lte: "≤", between: "is between", regex: "matches", starts_with: "begins with",
  ends_with: "ends with", exists: "exists", semver_eq: "is version", semver_gt: "is a version after", semver_gte: "is version, or after,",
  semver_lt: "is a version before", semver_lte: "is version, or before,", before: "is before", after: "is after", in_cidr: "is in the network",
  segment: "is in the segment", any_of: "has any of", all_of: "has all of",
};

/** All operators, with what they are called. */
export const operators = Object.entries(words);

interface Condition {
  attribute?: string;
  operator?: string;
  value?: unknown;
  negate?: boolean;
  all?: Condition[];
  any?: Condition[];
  none?: Condition[];
  segments?: string[];
  bucket?: { salt?: string; from?: number; to?: number };
}

/** A condition, nested ones in brackets. */
export function inWords(condition: Condition): string {
  const group = (items: Condition[], joint: string) =>
    items.length === 1 ? inWords(items[0]!) : items.map((item) => (item.all || item.any || item.none ? `(${inWords(item)})` : inWords(item))).join(` ${joint} `);
  if (condition.all) return group(condition.all, "and");
  if (condition.any) return group(condition.any, "or");
  if (condition.none) return `none of: ${group(condition.none, "or")}`;
  if (condition.segments) return `is in ${condition.segments.join(" or ")}`;
  if (condition.bucket) return `the bucket of ${condition.bucket.salt ?? ""} is from ${condition.bucket.from ?? 0} to ${condition.bucket.to ?? 100} %`;
  if (!condition.attribute) return "everybody";
  const operator = words[condition.operator ?? ""] ?? condition.operator ?? "";
  const shown = Array.isArray(condition.value) ? condition.value.map((one) => value(one)).join(", ") : condition.value === undefined ? "" : value(condition.value);
  return `${condition.attribute} ${condition.negate ? "not: " : ""}${operator} ${shown}`.trim();
}

/** Whom a rule is about. */
export function whom(rule: Rule): string {
  const parts = [];
  if (rule.segments?.length) parts.push(`is in ${rule.segments.join(" or ")}`);
  if (rule.conditions) parts.push(inWords(rule.conditions as Condition));
  if (rule.attribute || parts.length === 0) parts.push(inWords(rule as Condition));
  return parts.join(" and ");
}

/** What a rule gives. */
export function gives(rule: Rule): string {
  const split = Array.isArray(rule.split) ? rule.split : [];
  if (split.length > 0) return split.map(({ variant, weight }) => `${weight / 100} % ${variant}`).join(", ");
  const given = rule.variant ?? value(rule.return_value);
  return rule.percentage === undefined || rule.percentage === 100 ? given : `${given} to ${rule.percentage} %`;
}
