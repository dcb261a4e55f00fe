// Keeps the list of runs up to date: asks the same server, writes text only. New and gone runs reload the list.
"use strict";
(() => {
  const EVERY = 2000;
  const pause = document.getElementById("pause");
  let paused = false, timer = 0;
  const set = (row, part, text) => {
    const node = row.querySelector(`[data-part="${part}"]`);
    if (node && node.textContent !== text) node.textContent = text;
  };
  const show = (row, run) => {
    set(row, "status", run.status);
    set(row, "done", String(run.done));
    set(row, "failed", run.failed ? `, ${run.failed} failed` : "");
    set(row, "value", run.value);
    set(row, "interval", run.interval);
    row.querySelector('[data-part="status"]').className = `status-${run.status}`;
    row.querySelector('[data-part="value"]').parentNode.classList.toggle("none", !run.value);
    const bar = row.querySelector("progress");
    if (bar) { bar.max = run.expected || 1; bar.value = run.done + run.failed; }
  };
  const ask = async () => {
    try {
      const runs = await (await fetch("/runs.json", { cache: "no-store" })).json();
      const rows = new Map([...document.querySelectorAll("tr[data-address]")].map((row) => [row.dataset.address, row]));
      if (runs.length !== rows.size || runs.some((run) => !rows.has(run.address))) { location.reload(); return; }
      for (const run of runs) show(rows.get(run.address), run);
    } catch { /* the server was ended: what is shown stays */ }
    if (!paused) timer = setTimeout(ask, EVERY);
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on updating" : "Pause updates";
    clearTimeout(timer);
    if (!paused) ask();
  });
  timer = setTimeout(ask, EVERY);
})();
