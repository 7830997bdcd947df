// Before the first paint: the colours that were chosen here last, else those of the system.
(() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.theme = localStorage.getItem("flaggate.theme") ?? system;
})();
