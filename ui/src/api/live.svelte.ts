// Changes as they happen, over /ws. A WebSocket and not /events: a browser opens six connections to a host, and an event stream
// in each tab would take them.

export interface Update {
  type: string;
  kind?: string;
  action?: "created" | "updated" | "deleted";
  revision?: string;
  flag_key?: string;
  segment_id?: string;
  deployment_id?: string;
  kill_switch_id?: string;
  model_id?: string;
}

type Listener = (update: Update) => void;

const kinds = ["flags", "segments", "deployments", "kill_switches", "models"];
const longestPause = 15_000;

let connected = $state(false);
let revision = $state("");
const listeners = new Set<Listener>();
let socket: WebSocket | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let failures = 0;

export const live = {
  get connected() {
    return connected;
  },
  /** The revision of the last change that was seen. */
  get revision() {
    return revision;
  },
};

/** Hears of each change until the returned function is called. `{type: "snapshot"}`: anything may have changed. */
export function onUpdate(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function connect() {
  disconnect();
  const scheme = window.location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${window.location.host}/ws`);
  socket = opened;
  opened.onopen = () => {
    failures = 0;
    connected = true;
    opened.send(JSON.stringify({ subscribe: kinds }));
  };
  opened.onmessage = ({ data }) => {
    const update = JSON.parse(String(data)) as Update;
    if (update.revision) revision = update.revision;
    for (const listener of listeners) listener(update);
  };
  opened.onclose = () => {
    if (socket !== opened) return;
    connected = false;
    const pause = Math.min(longestPause, 500 * 2 ** failures) * (0.5 + Math.random() / 2);
    failures += 1;
    timer = setTimeout(connect, pause);
  };
}

export function disconnect() {
  clearTimeout(timer);
  const old = socket;
  socket = undefined;
  connected = false;
  old?.close();
}
