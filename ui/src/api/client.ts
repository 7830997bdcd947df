// Asks the admin API. What goes wrong is an ApiError with what the API said, and where.

export interface Fault {
  /** A JSON pointer into what was sent; empty: it is about all of it. */
  pointer: string;
  message: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly faults: Fault[] = [],
  ) {
    super(detail || title);
  }
}

export interface Answer<T> {
  data: T;
  status: number;
  headers: Headers;
}

export interface Options {
  query?: Record<string, string | number | boolean | undefined>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** What the session needs to change something; session.svelte.ts sets it. */
export const credentials = { csrf: "", lost: () => {} };

export async function ask<T>(method: string, path: string, body?: unknown, options: Options = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = { accept: "application/json", ...options.headers };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET" && credentials.csrf) headers["x-csrf-token"] = credentials.csrf;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) if (value !== undefined) query.set(name, `${value}`);
  const address = query.size > 0 ? `${path}?${query}` : path;
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (options.signal) init.signal = options.signal;
  let response: Response;
  try {
    response = await fetch(address, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "No answer", "The gateway does not answer. It is tried again.");
  }
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  const data: unknown = isJson ? await response.json() : await response.text();
  if (response.ok) return { data: data as T, status: response.status, headers: response.headers };
  if (response.status === 401 && path !== "/session") credentials.lost();
  throw refused(response, data);
}

export const get = async <T>(path: string, query: Options["query"] = {}, signal?: AbortSignal): Promise<T> =>
  (await ask<T>("GET", path, undefined, signal ? { query, signal } : { query })).data;

export const post = async <T>(path: string, body?: unknown, query: Options["query"] = {}): Promise<T> =>
  (await ask<T>("POST", path, body, { query })).data;

/** A part of a path. */
export const part = (text: string) => encodeURIComponent(text);

/** The API tells what is wrong as problems, and at its older endpoints as `{detail}`. */
function refused(response: Response, data: unknown): ApiError {
  const said = (typeof data === "object" && data ? data : {}) as Record<string, unknown>;
  const title = typeof said.title === "string" ? said.title : response.statusText || `Status ${response.status}`;
  if (Array.isArray(said.detail)) {
    const places = said.detail as { loc: (string | number)[]; msg: string }[];
    const pointer = (loc: (string | number)[]) =>
      loc.filter((_, at) => at > 0).map((step) => `/${`${step}`.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
    const faults = places.map(({ loc, msg }) => ({ pointer: pointer(loc), message: msg }));
    return new ApiError(response.status, title, faults.map(({ message }) => message).join("; "), faults);
  }
  const faults = Array.isArray(said.errors) ? (said.errors as Fault[]) : [];
  const detail = typeof said.detail === "string" ? said.detail : typeof data === "string" ? data.slice(0, 300) : "";
  return new ApiError(response.status, title, detail, faults);
}
