// Short names of what the API answers. What has a schema there comes from schema.d.ts, which `make ui-types` writes.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Flag = Schemas["Flag"];
export type Rule = Schemas["Rule"];
export type KillSwitch = Schemas["KillSwitch"];
export type Kill = Schemas["Kill"];
export type Killed = Schemas["Killed"];
export type Deployment = Schemas["Deployment"];
export type Segment = Schemas["Segment"];

export type Role = "client" | "viewer" | "operator" | "editor" | "admin";

export interface Figures {
  requests: number;
  requests_per_second: number;
  errors: number;
  error_rate: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  users: number;
}

export type RouteArm = Figures & { route: string; strategy: string; upstream: string };
export type FlagArm = Figures & { flag: string; variation: string };

export interface Traffic {
  from: string;
  to: string;
  seconds: number;
  arms: (RouteArm | FlagArm)[];
}

export interface Way {
  variation: string;
  upstream: string;
}

export interface Strategy {
  strategy: string;
  flag: string;
  ways: Way[];
}

export interface Route {
  name: string;
  match: { hosts: string[]; path_prefix: string; methods: string[] };
  upstream: string;
  strategies: Strategy[];
  flags: string[];
}

export interface Endpoint {
  address: string;
  weight: number;
  healthy: boolean | null;
  ejected: boolean;
}

export interface Upstream {
  name: string;
  endpoints: Endpoint[];
}

export interface Ways {
  routes: Route[];
  upstreams: Upstream[];
}

export interface Gateway {
  id: string;
  name: string;
  version: string;
  admin: string;
  live: boolean;
  last_contact_seconds: number;
  applied: string | null;
  behind: number | null;
}

export interface Gateways {
  revision: string;
  gateways: Gateway[];
}

export interface Insight {
  rule: string;
  severity: "critical" | "warning" | "info";
  kind: string;
  name: string;
  finding: string;
  recommendation: string;
}

export interface Change {
  kind: string;
  key: string;
  action: "created" | "updated" | "deleted";
  revision: number;
  actor: string;
  at: string;
  fields: string[];
}

export interface Entry {
  kind: string;
  key: string;
  action: string;
  revision: number;
  actor: string;
  at: string;
  changes: { pointer: string; before?: unknown; after?: unknown }[] | null;
}

export interface FlagAnalytics {
  flag: string;
  from: string;
  to: string;
  step: number;
  control: string;
  variations: (Figures & { name: string; is_control: boolean; share: number; evaluations: number })[];
  series: { at: string; arms: Record<string, { requests: number; errors: number; p95_ms: number | null; evaluations?: number }> }[];
}

export interface Explanation {
  key: string;
  value: unknown;
  variation: string | null;
  reason: string;
  detail: string | null;
  prerequisites_met: boolean;
  steps: Record<string, unknown>[];
}

/** What would become of a request. */
export interface Explained {
  revision: string;
  listener: string;
  route: string | null;
  refused?: { status: number; code: string; detail: string };
  peer?: { address: string; client: string; trusted: boolean };
  decision?: { strategy: string; upstream: string; fell_back: boolean; available: boolean; mirrored: boolean };
  strategies?: { strategy: string; flag?: string; variation?: string; upstream?: string; result: string }[];
  context?: { user_id: string; attributes: Record<string, unknown> };
  flags?: (Explanation & { evaluated?: boolean })[];
  forwarded?: { method: string; host: string; path: string; headers: Record<string, string> };
}

export interface Diagnostics {
  revision: string;
  flags: number;
  segments: number;
  documents: { kind: string; key: string; pointer: string; message: string; effect: string; last_good_served: boolean }[];
  missing_flags: string[];
  store: {
    applied: { epoch: string; number: number } | null;
    applied_at: string | null;
    store_up: boolean;
    last_error: string | null;
    stale_since: string | null;
    from_backup: boolean;
    alarm: { because: "empty" | "older" } | null;
  };
}
