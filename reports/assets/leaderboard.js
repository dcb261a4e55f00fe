// Sorts and filters the tables of the leaderboard. Works on what the page holds; without it the tables are whole.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const many = (n) => n.toLocaleString("en");

  // ---- sorting: every ranked body is sorted, rows of other protocols stay where they are ----------------------------
  const key = (row, index) => {
    const cell = row.children[index];
    const text = cell ? (cell.dataset.sort ?? "") : "";
    const number = text === "" ? NaN : Number(text);
    return { text, number };
  };
  const compare = (a, b, up) => {
    // What has no value stands last in both directions.
    if ((a.text === "") !== (b.text === "")) return a.text === "" ? 1 : -1;
    const numbers = !Number.isNaN(a.number) && !Number.isNaN(b.number);
    const order = numbers ? a.number - b.number : a.text.localeCompare(b.text, "en", { numeric: true });
    return up ? order : -order;
  };
  const sort = (header, up) => {
    const table = header.closest("table"), index = [...header.parentNode.children].indexOf(header);
    for (const body of table.querySelectorAll(".ranked-body")) {
      const rows = [...body.rows].map((row) => [key(row, index), row]);
      rows.sort((a, b) => compare(a[0], b[0], up));
      body.append(...rows.map((pair) => pair[1]));
    }
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
  for (const header of document.querySelectorAll("th[data-key]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      sort(header, now ? now === "descending" : header.dataset.first === "up");
      remember();
    });
  }

  // ---- filters ------------------------------------------------------------------------------------------------------
  const form = $("filters"), table = $("board");
  const kinds = () => [...document.querySelectorAll("input[name=kind]")];
  const refresh = () => {
    if (!form) return;
    const text = $("text").value.trim().toLowerCase(), off = new Set(kinds().filter((box) => !box.checked).map((box) => box.value));
    const unlike = !$("unlike") || $("unlike").checked;
    let shown = 0, all = 0;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => row.dataset.search !== undefined);
      for (const row of rows) row.hidden = (text && !row.dataset.search.includes(text)) || off.has(row.dataset.kind);
      const left = rows.filter((row) => !row.hidden).length, other = body.classList.contains("unlike-body");
      body.hidden = other && (!unlike || !left);
      shown += body.hidden ? 0 : left;
      all += rows.length;
    }
    $("count").textContent = shown === all ? `${many(all)} rows` : `${many(shown)} of ${many(all)} rows`;
    $("nothing").hidden = shown > 0 || all === 0;
  };

  // ---- permalinks: what is sorted and filtered stands in the address; a row's own link wins ------------------------------
  const remember = () => {
    const state = new URLSearchParams();
    const sorted = table && table.querySelector("th[aria-sort]");
    if (sorted) state.set("sort", `${sorted.dataset.key},${sorted.getAttribute("aria-sort")}`);
    if (form) {
      if ($("text").value) state.set("text", $("text").value);
      const off = kinds().filter((box) => !box.checked).map((box) => box.value);
      if (off.length) state.set("without", off.join(","));
      if ($("unlike") && !$("unlike").checked) state.set("unlike", "no");
    }
    const text = state.toString();
    history.replaceState(null, "", text ? `#view?${text}` : location.pathname + location.search);
  };
  const restore = () => {
    if (!location.hash.startsWith("#view?")) return;
    const state = new URLSearchParams(location.hash.slice(6));
    if (form) {
      $("text").value = state.get("text") || "";
      const off = (state.get("without") || "").split(",");
      for (const box of kinds()) box.checked = !off.includes(box.value);
      if ($("unlike")) $("unlike").checked = state.get("unlike") !== "no";
    }
    const [name, direction] = (state.get("sort") || "").split(",");
    const header = table && [...table.querySelectorAll("th[data-key]")].find((node) => node.dataset.key === name);
    if (header) sort(header, direction === "ascending");
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { refresh(); remember(); });
    $("reset").addEventListener("click", () => { form.reset(); refresh(); remember(); $("text").focus(); });
  }
  restore();
  refresh();
})();
