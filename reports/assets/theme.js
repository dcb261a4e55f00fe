// Light or dark: the reader's choice wins over the system's and is kept where the browser allows it.
"use strict";
(() => {
  const root = document.documentElement;
  const key = "uniar-eval-theme";
  const stored = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const store = (name) => { try { localStorage.setItem(key, name); } catch { /* private window: not kept */ } };
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`); };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; store(root.dataset.theme); label(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    label();
  });
})();
