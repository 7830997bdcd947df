// Short messages in a corner: what was done, and what went wrong.
import { ApiError, type Fault } from "../api/client";

export interface Toast {
  id: number;
  kind: "ok" | "bad";
  title: string;
  detail: string;
  faults: Fault[];
}

const okFor = 6000;
let last = 0;
let shown = $state.raw<Toast[]>([]);

export const toasts = {
  get all() {
    return shown;
  },
};

export function dismiss(id: number) {
  shown = shown.filter((toast) => toast.id !== id);
}

function show(toast: Omit<Toast, "id">) {
  const id = (last += 1);
  shown = [...shown.slice(-3), { id, ...toast }];
  return id;
}

/** Tells that something was done. It goes by itself. */
export function tell(title: string, detail = "") {
  const id = show({ kind: "ok", title, detail, faults: [] });
  setTimeout(() => dismiss(id), okFor);
}

/** Tells that something went wrong. It stays until it is read. */
export function complain(error: unknown, title?: string) {
  if (error instanceof ApiError) {
    if (error.status === 401) return;
    show({ kind: "bad", title: title ?? error.title, detail: error.detail, faults: error.faults });
  } else {
    show({ kind: "bad", title: title ?? "Something is wrong with this page", detail: String(error), faults: [] });
  }
}
