// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** 1 234, or 1.2M. */
export const count = (number: number) => (Math.abs(number) < 100_000 ? whole.format(number) : short.format(number));

/** Requests in a second. */
export const rate = (number: number) => (number === 0 ? "0" : number >= 100 ? count(number) : number >= 10 ? number.toFixed(0) : number.toFixed(1));

/** A share of 1 in percent. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return "–";
  const number = share * 100;
  if (number === 0) return "0 %";
  return `${number < 0.1 ? "<0.1" : number < 10 ? number.toFixed(1) : number.toFixed(0)} %`;
}

/** Milliseconds. */
export function ms(number: number | null | undefined): string {
  if (number === null || number === undefined) return "–";
  if (number >= 10_000) return `${(number / 1000).toFixed(1)} s`;
  return `${number < 10 ? number.toFixed(1) : number.toFixed(0)} ms`;
}

/** How long ago that was. */
export function ago(at: string | number | Date, now = Date.now()): string {
  const seconds = Math.max(0, (now - new Date(at).getTime()) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 90) return `${seconds.toFixed(0)} s ago`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min ago`;
  if (seconds < 129_600) return `${(seconds / 3600).toFixed(0)} h ago`;
  return `${(seconds / 86_400).toFixed(0)} d ago`;
}

export const clockTime = (at: string | number | Date) => new Date(at).toLocaleTimeString("en-GB");

export const dateTime = (at: string | number | Date) =>
  new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A value in one line. */
export function value(of: unknown, most = 60): string {
  const text = typeof of === "string" ? of : JSON.stringify(of);
  if (text === undefined) return "–";
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** `one flag`, `3 flags`. */
export const many = (number: number, what: string) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;
