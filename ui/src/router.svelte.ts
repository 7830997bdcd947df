// Which page is shown: the path below /ui, by the browser's history.

const base = import.meta.env.BASE_URL.replace(/\/$/, "");

export interface Place {
  path: string;
  query: URLSearchParams;
}

function here(): Place {
  const { pathname, search } = window.location;
  const path = pathname.startsWith(base) ? pathname.slice(base.length) : pathname;
  return { path: path || "/", query: new URLSearchParams(search) };
}

let now = $state.raw<Place>(here());

export const place = {
  get path() {
    return now.path;
  },
  get query() {
    return now.query;
  },
};

/** The address of a page, for links. */
export const href = (path: string) => base + path;

/** Shows a page. */
export function go(path: string) {
  window.history.pushState(null, "", href(path));
  now = here();
  window.scrollTo(0, 0);
}

/** Changes the query of the page at `path`, if that is still shown: the address says what is looked at, and can be passed on. */
export function keepQuery(path: string, query: Record<string, string>) {
  if (now.path !== path) return;
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "")).toString();
  window.history.replaceState(null, "", href(path) + (text && `?${text}`));
  now = here();
}

/** The parts of a path by a pattern like `/flags/:key`, if it has that form. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const [wanted, given] = [pattern, path].map((text) => text.replace(/\/$/, "").split("/")) as [string[], string[]];
  if (wanted.length !== given.length) return undefined;
  const found: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    if (part.startsWith(":")) found[part.slice(1)] = decodeURIComponent(given[at] ?? "");
    else if (part !== given[at]) return undefined;
  }
  return found;
}

/** Follows links to pages without loading anew. */
export function followLinks() {
  window.addEventListener("popstate", () => (now = here()));
  document.addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest("a");
    const elsewhere = event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey;
    if (!link || elsewhere || link.target || link.origin !== window.location.origin) return;
    if (!link.pathname.startsWith(`${base}/`)) return;
    event.preventDefault();
    go(link.pathname.slice(base.length) + link.search);
  });
}
