// All pages: where they are, what they are called, who may see them. A page's code is loaded when it is opened.
import type { Component } from "svelte";
import type { Role } from "../api/types";
import type { IconName } from "../parts/icons";

export interface Page {
  /** The address below /ui; `:name` stands for one part of it, which the page gets as a property. */
  path: string;
  title: string;
  load: () => Promise<{ default: Component<Record<string, string>> }>;
  /** Who may see it. Default: viewer. */
  role?: Role;
  /** It stands in the navigation. */
  icon?: IconName;
}

const page = (path: string, title: string, load: () => Promise<{ default: unknown }>, more: Partial<Page> = {}): Page => ({
  path,
  title,
  load: load as Page["load"],
  ...more,
});

export const pages: Page[] = [
  page("/", "Home", () => import("./home/Home.svelte"), { icon: "flow" }),
  page("/flags", "Flags", () => import("./flags/Flags.svelte"), { icon: "flag" }),
  page("/flags/:key", "Flag", () => import("./flag/Flag.svelte")),
  page("/flags/:key/edit", "Change a flag", () => import("./editor/Editor.svelte"), { role: "editor" }),
  page("/new-flag", "New flag", () => import("./editor/Editor.svelte"), { role: "editor" }),
  page("/deployments", "Deployments", () => import("./deployments/Deployments.svelte"), { icon: "track" }),
  page("/deployments/:id", "Deployment", () => import("./deployments/Deployment.svelte")),
  page("/new-deployment", "New deployment", () => import("./deployments/New.svelte"), { role: "operator" }),
  page("/kill", "Kill switches", () => import("./kill/Kill.svelte"), { icon: "stop" }),
  page("/segments", "Segments", () => import("./segments/Segments.svelte"), { icon: "people" }),
  page("/segments/:id", "Segment", () => import("./segments/Segment.svelte")),
  page("/new-segment", "New segment", () => import("./segments/Segment.svelte"), { role: "editor" }),
  page("/users/:id", "User", () => import("./user/User.svelte")),
  page("/analytics", "Analytics", () => import("./analytics/Analytics.svelte"), { icon: "chart" }),
  page("/analytics/flags/:key", "What a flag does", () => import("./analytics/FlagReport.svelte")),
  page("/analytics/routes/:name", "What a route does", () => import("./analytics/RouteReport.svelte")),
  page("/explain", "Explain", () => import("./explain/Explain.svelte"), { icon: "search" }),
  page("/audit", "Audit log", () => import("./audit/Audit.svelte"), { icon: "log", role: "admin" }),
  page("/diagnostics", "Diagnostics", () => import("./diagnostics/Diagnostics.svelte"), { icon: "pulse" }),
];
