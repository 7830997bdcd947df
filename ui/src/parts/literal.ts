// Values of conditions as people type them.
const lists = ["in", "not_in", "any_of", "all_of", "between", "in_cidr", "segment"];
const texts = ["contains", "not_contains", "regex", "starts_with", "ends_with", "semver_eq", "semver_gt", "semver_gte", "semver_lt", "semver_lte", "before", "after", "in_cidr", "segment"];

export const takesList = (operator: string) => lists.includes(operator);

/** A number, a boolean or null if the text is one, else the text; what stands in quotes is always a text. */
function scalar(text: string, operator: string): unknown {
  const trimmed = text.trim();
  const isQuoted = /^".*"$/s.test(trimmed);
  if (!isQuoted && texts.includes(operator)) return trimmed;
  if (!isQuoted && !/^(true|false|null|-?\d+(\.\d+)?([eE][+-]?\d+)?)$/.test(trimmed)) return trimmed;
  try {
    return JSON.parse(trimmed);
  } catch {
    return trimmed;
  }
}

/** What was typed for an operator, as its value. */
export function read(text: string, operator: string): unknown {
  if (/^\s*[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  if (!takesList(operator)) return scalar(text, operator);
  return text.split(",").map((one) => one.trim()).filter((one) => one !== "").map((one) => scalar(one, operator));
}

/** A value as it is typed: what `read` makes the same of. */
export function shown(value: unknown, operator: string): string {
  if (value === undefined) return "";
  const one = (item: unknown) => (typeof item === "string" && scalar(item, operator) === item && !item.includes(",") ? item : JSON.stringify(item));
  const plain = Array.isArray(value) ? value.map(one).join(", ") : typeof value === "string" ? one(value) : JSON.stringify(value);
  return JSON.stringify(read(plain, operator)) === JSON.stringify(value) ? plain : JSON.stringify(value);
}
