// Who looks at this, and what they may. A login gives a cookie that scripts cannot read; nothing is kept here but the number
// that changes need, and that is asked for anew at each start.
import { ApiError, ask, credentials, get, post } from "./client";
import type { Role } from "./types";

interface Who {
  name: string;
  role: Role;
  csrf?: string;
}

const ranks: Role[] = ["client", "viewer", "operator", "editor", "admin"];

let phase = $state<"asking" | "out" | "in" | "away">("asking");
let who = $state.raw<Who>({ name: "", role: "client" });

export const session = {
  get phase() {
    return phase;
  },
  get name() {
    return who.name;
  },
  get role() {
    return who.role;
  },
  /** Whether somebody logged in, and so can log out. */
  get isLogin() {
    return who.csrf !== undefined;
  },
};

/** Whether this role suffices. */
export const may = (role: Role) => ranks.indexOf(who.role) >= ranks.indexOf(role);

function enter(found: Who) {
  who = found;
  credentials.csrf = found.csrf ?? "";
  phase = "in";
}

/** Asks who this is. */
export async function start() {
  credentials.lost = () => (phase = "out");
  try {
    enter(await get<Who>("/session"));
  } catch (error) {
    phase = error instanceof ApiError && error.status === 401 ? "out" : "away";
    if (phase === "away") setTimeout(start, 2000);
  }
}

export async function logIn(token: string) {
  enter(await post<Who>("/session", { token }));
}

export async function logOut() {
  await ask("DELETE", "/session");
  credentials.csrf = "";
  phase = "out";
}
