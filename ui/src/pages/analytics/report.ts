// What analytics answer, as far as these pages show it.

export interface Interval {
  estimate: number;
  low: number;
  high: number;
}

export interface Compared {
  difference: Interval;
  lift: Interval | null;
  p_value: number;
}

export interface Did {
  converted: number;
  rate: number;
  value_per_user: number;
  rate_compared: Compared | null;
  value_compared: Compared | null;
}

export interface Arm {
  name: string;
  is_control: boolean;
  evaluations: number;
  share: number;
  requests: number;
  errors: number;
  error_rate: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  users: number;
  participants: number;
  errors_compared: Compared | null;
  latency_compared: Compared | null;
  metrics?: Record<string, Did>;
}

export interface Point {
  at: string;
  arms: Record<string, { evaluations: number; requests: number; errors: number; users: number; p95_ms: number | null }>;
}

export interface SampleRatio {
  since: string;
  expected: Record<string, number>;
  counted: Record<string, number>;
  p_value: number;
  is_mismatch: boolean;
}

/** How far from the middle bars go at most: all of a figure have one scale. A lift beyond 2 is cut off. */
export function scaleOf(all: (Compared | null | undefined)[]): number {
  const ends = all.flatMap((one) => (one?.lift ? [Math.abs(one.lift.low), Math.abs(one.lift.high)] : [])).filter((end) => Number.isFinite(end));
  return Math.min(2, Math.max(0.05, ...ends));
}

/** A lift in words. */
export const signed = (share: number) => `${share > 0 ? "+" : share < 0 ? "−" : "±"}${Math.abs(share * 100).toFixed(Math.abs(share) < 0.1 ? 1 : 0)} %`;
