// What a deployment's status says.
import type { Deployment } from "../../api/types";

export type State = NonNullable<NonNullable<Deployment["status"]>["state"]>;

export interface Compared {
  name: string;
  slower_than: number | null;
  canary: [number, number];
  baseline: [number, number];
  evidence: number;
  needed: number;
}

export interface StageStatus {
  name: string;
  state: State;
  reason?: string;
  step: number;
  doing?: string;
  since?: string;
  started_at?: string;
  ended_at?: string;
  verdict?: { decision: "pass" | "fail" | "inconclusive"; sentence: string; figures: { metrics: Compared[] } };
  judged_at?: string;
  approvals?: { approver: string; by?: string }[];
}

export interface Gate {
  type: "manual" | "automatic" | "scheduled" | "metric_based";
  required_approvers?: string[];
}

export const stageStatus = (deployment: Deployment, name: string): StageStatus | undefined =>
  (deployment.status?.stages as unknown as StageStatus[] | undefined)?.find((stage) => stage.name === name);

export const stateOf = (deployment: Deployment): State => deployment.status?.state ?? "pending";

const kinds: Record<State, string> = {
  pending: "", in_progress: "accent", validating: "accent", paused: "warn", completed: "ok", failed: "bad", rolling_back: "bad", rolled_back: "bad",
};
export const kindOf = (state: State) => kinds[state];
export const words = (state: State) => state.replaceAll("_", " ");

const running: State[] = ["in_progress", "validating", "paused"];
export const isRunning = (state: State) => running.includes(state);

/** How near evidence is to its bound, on the scale on which it grows evenly: 0 says nothing, 1 fails the canary. */
export const nearness = ({ evidence, needed }: Compared) => Math.max(0, Math.min(1.2, Math.log(Math.max(evidence, 1)) / Math.log(needed)));

/** The steps of a stage in words. */
export function stepsOf(config: Record<string, unknown>): string[] {
  const steps = (config.steps ?? []) as Record<string, unknown>[];
  const shares = (config.rollout_stages ?? []) as { percentage: number; duration?: string }[];
  if (shares.length > 0) return shares.map(({ percentage, duration }) => `${percentage} %${duration ? ` for ${duration}` : ""}`);
  return steps.map((step) => {
    if ("set_weight" in step) return `${step.set_weight as number} %`;
    if ("analysis" in step) return `judge ${step.analysis as string}`;
    return typeof step.pause === "string" ? `wait ${step.pause}` : "wait for a person";
  });
}
