// What the report's gallery and the comparison's pairs share: nodes, filters, cards by the page, the panel that shows one of them.
// Text enters the page through textContent only.
"use strict";
const cards = (() => {
  const CLIP = 600, NO_PROMPT = "No prompt is stored for this sample.";
  const $ = (id) => document.getElementById(id);

  // ---- nodes ---------------------------------------------------------------------------------------------------
  const el = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const many = (n) => n.toLocaleString("en");
  const clipped = (text, limit) => {
    if (text.length <= limit) return text;
    const end = text.codePointAt(limit - 1) > 0xffff ? limit - 1 : limit;   // never half an emoji
    return `${text.slice(0, end)} …`;
  };
  // Fill a node; a long text is cut, with a button that shows the rest.
  const fill = (node, text, limit = CLIP) => {
    node.replaceChildren(clipped(text, limit));
    if (text.length <= limit) return;
    const more = el("button", "link", `Show all ${many(text.length)} characters`);
    more.type = "button";
    more.addEventListener("click", () => { node.textContent = text; $("panel").focus(); });
    node.append(" ", more);
  };
  // Text in whatever direction its language is written.
  const written = (className, text) => {
    const node = el("p", className);
    node.dir = "auto";
    fill(node, text);
    return node;
  };
  const badge = (key, glyph, text) => {
    const node = el("span", `badge badge-${key}`), mark = el("span", "glyph", glyph);
    mark.setAttribute("aria-hidden", "true");
    node.append(mark, ` ${text}`);
    return node;
  };
  // Rows of a list of facts; what has no value has no row.
  const facts = (pairs) => pairs.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => {
    const row = el("div"), text = el("dd");
    fill(text, String(value));
    row.append(el("dt", "", name), text);
    return row;
  });
  const card = (index, frame, line, text, below) => {
    const row = el("li"), button = el("button", "card"), top = el("span", "card-line"), prompt = el("span", "card-prompt", clipped(text || NO_PROMPT, 160));
    button.type = "button";
    button.dataset.index = String(index);
    top.append(...line);
    prompt.dir = "auto";
    button.append(frame, top, prompt, el("span", "card-task dim", below));
    row.append(button);
    return row;
  };

  // ---- filters -------------------------------------------------------------------------------------------------
  const option = (text, value) => {
    const node = el("option", "", text);
    node.value = String(value);
    return node;
  };
  const options = (select, names) => select.replaceChildren(option("All", -1), ...names.map(option));
  // Chips of [value, label, class], after one for all; the returned function shows a count on each and which one is chosen.
  const chips = (host, found, choose) => {
    host.append(...[[-1, "All", ""], ...found].map(([at, label, className]) => {
      const node = el("button", `chip ${className}`);
      node.type = "button";
      node.value = String(at);
      node.append(`${label} `, el("span", "chip-count"));
      node.addEventListener("click", () => choose(at));
      return node;
    }));
    return (counts, chosen) => {
      for (const node of host.children) {
        const at = Number(node.value);
        node.setAttribute("aria-pressed", String(at === chosen));
        node.querySelector(".chip-count").textContent = many(at < 0 ? counts.reduce((a, b) => a + b, 0) : counts[at]);
      }
    };
  };
  // The form: the text, the named selects and the order each set their key of the state.
  const filters = (state, selects, refresh, clear) => {
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("text").addEventListener("input", () => { state.text = $("text").value.trim().toLowerCase(); refresh(); });
    for (const name of selects) $(name).addEventListener("change", () => { state[name] = Number($(name).value); refresh(); });
    $("order").addEventListener("change", () => { state.order = $("order").value; refresh(); });
    $("reset").addEventListener("click", clear);
  };

  // ---- pages and panel -----------------------------------------------------------------------------------------
  // `total` cards, `size` to a page. `make(index)` makes a card; `prompt(index)` is its prompt; `fillPanel(index)` fills the panel and
  // returns the link to it; `shown()` follows once the panel has a size; `body` selects what scrolls in it.
  const browser = ({ total, size, make, prompt, fillPanel, shown = () => {}, body }) => {
    let view = [];      // indices that pass the filters, in order
    let open = -1;      // index of the one in the panel
    let page = 0;
    const draw = () => {
      const pages = Math.max(1, Math.ceil(view.length / size)), from = page * size, part = view.slice(from, from + size);
      $("cards").replaceChildren(...part.map(make));
      $("nothing").hidden = view.length > 0;
      $("pager").hidden = pages < 2;
      $("page-back").disabled = page === 0;
      $("page-on").disabled = page === pages - 1;
      $("page-at").textContent = `Page ${many(page + 1)} of ${many(pages)}`;
      const of = view.length === total ? many(total) : `${many(view.length)} (${many(total)} in all)`;
      $("count").textContent = view.length ? `${many(from + 1)} to ${many(from + part.length)} of ${of}` : `None of ${many(total)}`;
    };
    const list = (found) => { view = found; page = 0; draw(); };
    const turn = (by) => { page += by; draw(); $("gallery").scrollIntoView(); };
    const show = (index) => {
      open = index;
      const at = view.indexOf(index), text = prompt(index);
      $("panel-at").textContent = `${many(at + 1)} of ${many(view.length)}`;
      $("panel-back").disabled = at <= 0;
      $("panel-on").disabled = at === view.length - 1;
      $("panel-title").classList.toggle("prompt-long", text.length > 240);
      fill($("panel-title"), text || NO_PROMPT);
      const link = fillPanel(index);
      // Focus goes to the panel itself: a held Enter key must not press its first button.
      if (!$("panel").open) { $("panel").showModal(); $("panel").focus(); }
      shown();
      $("panel").querySelector(body).scrollTop = 0;
      history.replaceState(null, "", link);
    };
    const step = (by) => { const next = view[view.indexOf(open) + by]; if (next !== undefined) show(next); };
    const closed = () => {
      history.replaceState(null, "", location.href.split("#")[0]);
      const at = view.indexOf(open);
      if (at >= 0 && Math.floor(at / size) !== page) { page = Math.floor(at / size); draw(); }
      $("cards").querySelector(`[data-index="${open}"]`)?.focus();
      open = -1;
    };
    $("page-back").addEventListener("click", () => turn(-1));
    $("page-on").addEventListener("click", () => turn(1));
    $("cards").addEventListener("click", (event) => { const hit = event.target.closest(".card"); if (hit) show(Number(hit.dataset.index)); });
    $("panel-back").addEventListener("click", () => step(-1));
    $("panel-on").addEventListener("click", () => step(1));
    $("panel-close").addEventListener("click", () => $("panel").close());
    $("panel").addEventListener("close", closed);
    $("panel").addEventListener("click", (event) => { if (event.target === $("panel")) $("panel").close(); });
    $("panel").addEventListener("keydown", (event) => {
      // In a slider the arrows move it.
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.type === "range") return;
      if (event.key === "ArrowRight") { event.preventDefault(); step(1); }
      if (event.key === "ArrowLeft") { event.preventDefault(); step(-1); }
    });
    return { list, show, lists: (index) => view.includes(index), at: () => open };
  };
  return { $, el, many, clipped, fill, written, badge, facts, card, option, options, chips, filters, browser };
})();
