// Where the boxes and bands of the flow picture stand. Pure: routes and traffic in, coordinates out.
import type { Figures, RouteArm, Ways } from "../../api/types";

export interface Box {
  id: string;
  kind: "users" | "route" | "strategy" | "upstream";
  name: string;
  /** The flag of a strategy. */
  flag?: string;
  strategy?: string;
  /** Requests in a second. */
  rate: number;
  errors: number;
  requests: number;
  p95: number | null;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Band {
  id: string;
  /** What decides the colour: a strategy, `blue`, `green`, or empty. */
  hue: string;
  rate: number;
  /** Of 1; null: no requests. */
  errorRate: number | null;
  path: string;
  /** The middle of the band, along which something can move. */
  line: string;
  thickness: number;
}

export interface Picture {
  boxes: Box[];
  bands: Band[];
  width: number;
  height: number;
}

interface Link {
  from: string;
  to: string;
  hue: string;
  rate: number;
  requests: number;
  errors: number;
}

const gap = 12;
const least = { users: 46, route: 46, strategy: 48, upstream: 56 };
/** Narrow boxes of strategies have their figures in a third line. */
const leastNarrow = 66;
/** How much of the height the bands of all traffic take together. */
const fill = 190;
const hairline = 1;

/** The strategy of an arm's box: features have one for each flag, as far as the upstream tells which it was. */
function strategyOf(ways: Ways, arm: RouteArm): string {
  if (arm.strategy !== "features") return `${arm.route}/${arm.strategy}`;
  const route = ways.routes.find(({ name }) => name === arm.route);
  const feature = route?.strategies.find(
    (one) => one.strategy === "features" && one.ways.some(({ upstream }) => upstream === arm.upstream),
  );
  return `${arm.route}/features/${feature?.flag ?? ""}`;
}

export function picture(ways: Ways, arms: RouteArm[], width: number): Picture {
  // What is left out where there is no room: users first, then routes.
  const left = width < 640 ? 2 : width < 940 ? 1 : 0;
  const isNarrow = left === 2;
  const { columns, links } = graph(ways, arms);
  const shown = columns.slice(left);
  const scale = fill / Math.max(1, sum(columns[2]!, ({ rate }) => rate));
  const heights = shown.map((column) => {
    for (const box of column) {
      const lowest = isNarrow && box.kind === "strategy" ? leastNarrow : least[box.kind];
      box.height = Math.max(lowest, box.rate * scale + 12);
    }
    return sum(column, ({ height }) => height) + gap * (column.length - 1);
  });
  const height = Math.max(...heights, 60);
  const widths = isNarrow ? [width * 0.36, width * 0.46] : [84, 104, 196, 232].slice(left);
  const between = (width - sum(widths, (one) => one)) / (widths.length - 1);
  let x = 0;
  for (const [at, column] of shown.entries()) {
    const free = column.length > 1 ? (height - heights[at]!) / (column.length - 1) : 0;
    let y = column.length > 1 ? 0 : (height - heights[at]!) / 2;
    for (const box of column) {
      Object.assign(box, { x, y, width: widths[at]! });
      y += box.height + gap + free;
    }
    x += widths[at]! + between;
  }
  const boxes = shown.flat();
  return { boxes, bands: drawn(boxes, links, scale), width, height };
}

function graph(ways: Ways, arms: RouteArm[]): { columns: Box[][]; links: Link[] } {
  const box = (kind: Box["kind"], id: string, name: string, more: Partial<Box> = {}): Box => ({
    kind, id, name, rate: 0, errors: 0, requests: 0, p95: null, x: 0, y: 0, width: 0, height: 0, ...more,
  });
  const users = box("users", "users", "users");
  const routes = ways.routes.map(({ name }) => box("route", `route ${name}`, name));
  const strategies: Box[] = [];
  const links = new Map<string, Link>();
  const link = (from: string, to: string, hue: string): Link => {
    const key = `${from} > ${to}`;
    const found = links.get(key) ?? { from, to, hue, rate: 0, requests: 0, errors: 0 };
    links.set(key, found);
    return found;
  };
  for (const route of ways.routes) {
    link("users", `route ${route.name}`, "");
    const all = [...route.strategies, { strategy: "default", flag: "", ways: [{ variation: "", upstream: route.upstream }] }];
    for (const one of all) {
      const id = one.strategy === "features" ? `${route.name}/features/${one.flag}` : `${route.name}/${one.strategy}`;
      strategies.push(box("strategy", id, one.strategy, { strategy: one.strategy, flag: one.flag }));
      link(`route ${route.name}`, id, one.strategy);
      for (const { variation, upstream } of one.ways) {
        link(id, `upstream ${upstream}`, one.strategy === "blue_green" ? variation : one.strategy);
      }
    }
  }
  const order = [...links.values()].filter(({ to }) => to.startsWith("upstream ")).map(({ to }) => to);
  const upstreams = ways.upstreams.map(({ name }) => box("upstream", `upstream ${name}`, name));
  const rank = ({ id }: Box) => (order.indexOf(id) < 0 ? order.length : order.indexOf(id));
  upstreams.sort((one, other) => rank(one) - rank(other));
  const boxes = new Map([users, ...routes, ...strategies, ...upstreams].map((one) => [one.id, one]));
  for (const arm of arms) {
    const [strategy, upstream, route] = [strategyOf(ways, arm), `upstream ${arm.upstream}`, `route ${arm.route}`];
    // Arms of routes that the configuration no longer has are of the past.
    if (!boxes.has(strategy) || !boxes.has(upstream)) continue;
    const isCopy = arm.strategy === "mirror";
    const passed = isCopy ? [strategy, upstream] : ["users", route, strategy, upstream];
    for (const id of passed) add(boxes.get(id)!, arm);
    const steps = passed.slice(1).map((to, at) => link(passed[at]!, to, arm.strategy));
    for (const step of steps) add(step, arm);
    worst(boxes.get(upstream)!, arm);
  }
  return { columns: [[users], routes, strategies, upstreams], links: [...links.values()] };
}

function add(to: Box | Link, arm: Figures) {
  to.rate += arm.requests_per_second;
  to.requests += arm.requests;
  to.errors += arm.errors;
}

/** An upstream that has several arms is as slow as the slowest of them: quantiles cannot be added. */
function worst(box: Box, arm: Figures) {
  if (arm.p95_ms !== null) box.p95 = Math.max(box.p95 ?? 0, arm.p95_ms);
}

function drawn(boxes: Box[], links: Link[], scale: number): Band[] {
  const found = new Map(boxes.map((box) => [box.id, box]));
  const shown = links.filter(({ from, to }) => found.has(from) && found.has(to));
  const thickness = ({ rate }: Link) => Math.max(hairline, rate * scale);
  // Bands leave and reach a box one below the other, in the order of what they lead to.
  const places = (side: "from" | "to") => {
    const other = side === "from" ? "to" : "from";
    const at = new Map<Link, number>();
    for (const box of boxes) {
      const own = shown.filter((link) => link[side] === box.id);
      own.sort((one, next) => found.get(one[other])!.y - found.get(next[other])!.y);
      let y = box.y + box.height / 2 - sum(own, thickness) / 2;
      for (const link of own) {
        at.set(link, y + thickness(link) / 2);
        y += thickness(link);
      }
    }
    return at;
  };
  const [begins, ends] = [places("from"), places("to")];
  return shown.map((link) => {
    const [from, to, thick] = [found.get(link.from)!, found.get(link.to)!, thickness(link)];
    const [x0, x1, y0, y1] = [from.x + from.width, to.x, begins.get(link)!, ends.get(link)!];
    const middle = (x0 + x1) / 2;
    const curve = (a: number, b: number) => `C${middle.toFixed(1)} ${a.toFixed(1)} ${middle.toFixed(1)} ${b.toFixed(1)}`;
    const [half, point] = [thick / 2, (x: number, y: number) => `${x.toFixed(1)} ${y.toFixed(1)}`];
    const path = `M${point(x0, y0 - half)}${curve(y0 - half, y1 - half)} ${point(x1, y1 - half)}L${point(x1, y1 + half)}${curve(y1 + half, y0 + half)} ${point(x0, y0 + half)}Z`;
    const line = `M${point(x0, y0)}${curve(y0, y1)} ${point(x1, y1)}`;
    const errorRate = link.requests > 0 ? link.errors / link.requests : null;
    return { id: `${link.from} > ${link.to}`, hue: link.hue, rate: link.rate, errorRate, path, line, thickness: thick };
  });
}

const sum = <T>(items: T[], of: (item: T) => number) => items.reduce((total, item) => total + of(item), 0);
