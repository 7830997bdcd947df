// Light or dark: as the system says, until somebody chooses. public/theme.js does the same before the first paint.
const name = "flaggate.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

type Theme = "light" | "dark";

let chosen = $state<Theme | null>(localStorage.getItem(name) as Theme | null);
let preferred = $state<Theme>(system.matches ? "dark" : "light");
system.addEventListener("change", () => (preferred = system.matches ? "dark" : "light"));

export const theme = {
  get current(): Theme {
    return chosen ?? preferred;
  },
  toggle() {
    const other: Theme = theme.current === "dark" ? "light" : "dark";
    chosen = other === preferred ? null : other;
    if (chosen) localStorage.setItem(name, chosen);
    else localStorage.removeItem(name);
  },
};
