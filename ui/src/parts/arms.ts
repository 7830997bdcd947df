// Colours of variations and strategies: the same on every page.

const colors = ["var(--arm-0)", "var(--arm-1)", "var(--arm-2)", "var(--arm-3)", "var(--arm-4)", "var(--arm-5)"];
const none = "var(--arm-none)";

/** The colour of a variation among all of its flag. What is off is grey; `blue` and `green` are what they say. */
export function armColor(name: string, all: string[]): string {
  if (name === "false" || name === "off") return none;
  if (name === "blue") return colors[0]!;
  if (name === "green") return colors[2]!;
  if (name === "true") return colors[0]!;
  const at = all.filter((other) => other !== "false" && other !== "off").indexOf(name);
  return colors[(at < 0 ? 0 : at) % colors.length]!;
}

const strategies: Record<string, string> = {
  features: "var(--arm-3)",
  canary: "var(--arm-1)",
  blue: "var(--arm-0)",
  green: "var(--arm-2)",
  blue_green: "var(--arm-5)",
  mirror: "var(--arm-4)",
  default: none,
};

export const strategyColor = (name: string) => strategies[name] ?? none;

