// Pairs of outputs at equal seeds, drawn from the embedded data. Text enters the page through textContent only.
"use strict";
(() => {
  const PAGE = 60, CLIP = 600;
  const GLYPHS = { won: "▲", lost: "▼", tied: "=", unpaired: "○" };
  const $ = (id) => document.getElementById(id);
  const { tasks, samples, sources, results, plan, runs, pairs } = JSON.parse($("pair-data").textContent);
  const haystack = samples.map(([id, , prompt]) => `${prompt}\n${id}`.toLowerCase());
  const state = { result: -1, task: -1, second: 0, text: "", order: "losses", page: 0, mode: "side" };
  let view = [];      // indices into plan that pass the filters, in order
  let open = -1;      // index into plan of the pair in the panel

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
  const badge = (result) => {
    const node = el("span", `badge badge-${result.key}`), glyph = el("span", "glyph", GLYPHS[result.key]);
    glyph.setAttribute("aria-hidden", "true");
    node.append(glyph, ` ${result.label}`);
    return node;
  };
  const sides = (index) => [[runs[0], runs[0].items[index]], [runs[state.second + 1], runs[state.second + 1].items[index]]];
  const resultOf = (index) => results[pairs[state.second][index][0]];
  const address = (run, item) => (item.i.startsWith("data:") ? item.i : run.thumbs + item.i);
  const picture = (run, item, alt, full) => {
    const image = el("img", Math.max(item.w, item.h) <= 96 ? "pixelated" : "");
    Object.assign(image, { alt, width: item.w, height: item.h, decoding: "async", loading: item.i.startsWith("data:") || full ? "eager" : "lazy", src: address(run, item) });
    if (full && !item.o && run.originals) {
      const large = new Image();      // the thumbnail stays when the page was moved away from the run folders
      large.onload = () => { image.src = large.src; };
      large.src = run.originals + item.p.split("/").map(encodeURIComponent).join("/");
    }
    return image;
  };

  // ---- filters -------------------------------------------------------------------------------------------------
  const refresh = () => {
    const counts = new Array(results.length).fill(0), found = pairs[state.second];
    view = [];
    plan.forEach(([at], index) => {
      if ((state.task >= 0 && samples[at][1] !== state.task) || (state.text && !haystack[at].includes(state.text))) return;
      counts[found[index][0]] += 1;
      if (state.result < 0 || state.result === found[index][0]) view.push(index);
    });
    if (state.order === "losses") view.sort((a, b) => found[a][1] - found[b][1] || a - b);
    if (state.order === "wins") view.sort((a, b) => found[b][1] - found[a][1] || a - b);
    state.page = 0;
    for (const node of $("results").children) {
      const at = Number(node.value);
      node.setAttribute("aria-pressed", String(at === state.result));
      node.querySelector(".chip-count").textContent = many(at < 0 ? counts.reduce((a, b) => a + b, 0) : counts[at]);
    }
    draw();
  };
  const clear = () => {
    Object.assign(state, { result: -1, task: -1, text: "" });
    $("text").value = "";
    $("task").value = "-1";
    refresh();
  };

  // ---- cards ---------------------------------------------------------------------------------------------------
  const card = (index) => {
    const [at, repeat] = plan[index], sample = samples[at], row = el("li"), button = el("button", "card");
    button.type = "button";
    button.dataset.index = String(index);
    const frame = el("span", "frame frame-pair");
    for (const [run, item] of sides(index)) {
      const half = el("span", "frame-half");
      half.append(item.i ? picture(run, item, "", false) : el("span", "frame-text", clipped(item.x || item.e || "No output.", 160)));
      frame.append(half);
    }
    const line = el("span", "card-line"), prompt = el("span", "card-prompt", clipped(sample[2] || "No prompt is stored for this sample.", 160));
    line.append(badge(resultOf(index)), el("span", "card-change", sides(index).map(([, item]) => item.v).join(" → ")));
    prompt.dir = "auto";
    button.append(frame, line, prompt, el("span", "card-task dim", `${tasks[sample[1]].label}, output ${repeat + 1}`));
    row.append(button);
    return row;
  };
  const draw = () => {
    const pages = Math.max(1, Math.ceil(view.length / PAGE)), from = state.page * PAGE, shown = view.slice(from, from + PAGE);
    $("cards").replaceChildren(...shown.map(card));
    $("nothing").hidden = view.length > 0;
    $("pager").hidden = pages < 2;
    $("page-back").disabled = state.page === 0;
    $("page-on").disabled = state.page === pages - 1;
    $("page-at").textContent = `Page ${many(state.page + 1)} of ${many(pages)}`;
    const of = view.length === plan.length ? many(plan.length) : `${many(view.length)} (${many(plan.length)} in all)`;
    $("count").textContent = view.length ? `${many(from + 1)} to ${many(from + shown.length)} of ${of}` : `None of ${many(plan.length)}`;
  };
  const turn = (step) => { state.page += step; draw(); $("gallery").scrollIntoView(); };

  // ---- panel ---------------------------------------------------------------------------------------------------
  const caption = (run, item, place) => {
    const node = el("figcaption", "pair-caption"), name = el("strong");
    name.append(el("bdi", "", run.name));
    node.append(name, `, ${place}: ${item.v}`);
    return node;
  };
  const words = (item) => {
    const node = el("p", "pair-answer");
    node.dir = "auto";
    fill(node, item.x || item.e || "There is no output.");
    return node;
  };
  const alt = (run, sample) => `${clipped(run.name, 60)}, image for: ${clipped(sample[2], 160)}`;
  const sideBySide = (both, sample) => {
    const node = el("div", "pair-side");
    both.forEach(([run, item], at) => {
      const figure = el("figure");
      if (item.i) {
        figure.style.setProperty("--ratio", String(item.w / item.h));
        figure.append(picture(run, item, alt(run, sample), true));
      } else figure.append(words(item));
      figure.append(caption(run, item, at ? "second" : "first"));
      node.append(figure);
    });
    return [node];
  };
  const overlaid = (both, sample) => {
    const node = el("div", "overlaid"), [[, item]] = both;
    node.style.setProperty("--ratio", String(item.w / item.h));
    both.forEach(([run, each]) => node.append(picture(run, each, alt(run, sample), true)));
    return node;
  };
  const slider = (both, sample) => {
    const node = overlaid(both, sample), cut = el("span", "cut"), row = el("label", "slider"), range = el("input");
    node.append(cut);
    Object.assign(range, { type: "range", min: "0", max: "100", value: "50" });
    range.setAttribute("aria-label", "Where the first image ends and the second begins, percent of the width");
    const move = () => {
      node.children[1].style.clipPath = `inset(0 0 0 ${range.value}%)`;
      cut.style.left = `${range.value}%`;
    };
    range.addEventListener("input", move);
    move();
    row.append(el("span", "", `${clipped(both[0][0].name, 40)}, first`), range, el("span", "", `${clipped(both[1][0].name, 40)}, second`));
    return [node, row];
  };
  const flip = (both, sample) => {
    const node = overlaid(both, sample), button = el("button", "button");
    button.type = "button";
    button.id = "flip";
    let second = true;
    const turnOver = () => {
      second = !second;
      node.children[1].hidden = !second;
      button.textContent = second ? "Showing the second; show the first" : "Showing the first; show the second";
    };
    button.addEventListener("click", turnOver);
    turnOver();
    return [node, button];
  };
  const told = ([run, item], at) => {
    const node = el("div"), head = el("h3"), facts = el("dl", "facts");
    head.append(el("bdi", "", run.name), ` (${at ? "second" : "first"}): ${item.v}`);
    node.append(head);
    if (item.r) { const reason = el("p", "reason"); reason.dir = "auto"; fill(reason, item.r); node.append(reason); }
    for (const [name, value] of [["Error", item.e], ["Answer", item.i ? item.x : undefined], ["Seed", item.seed], ["File", item.p]]) {
      if (!value) continue;
      const row = el("div"), text = el("dd");
      fill(text, String(value));
      row.append(el("dt", "", name), text);
      facts.append(row);
    }
    node.append(facts);
    return node;
  };
  const drawStage = () => {
    const both = sides(open), sample = samples[plan[open][0]], images = both.every(([, item]) => item.i);
    $("modes").hidden = !images;
    for (const node of $("modes").children) node.setAttribute("aria-pressed", String(node.value === state.mode));
    const make = images ? { side: sideBySide, slider, flip }[state.mode] : sideBySide;
    $("stage").replaceChildren(...make(both, sample));
  };
  const show = (index) => {
    open = index;
    const [at, repeat] = plan[index], sample = samples[at], place = view.indexOf(index);
    $("panel-at").textContent = `${many(place + 1)} of ${many(view.length)}`;
    $("panel-back").disabled = place <= 0;
    $("panel-on").disabled = place === view.length - 1;
    $("panel-result").replaceChildren(badge(resultOf(index)), el("span", "dim", ` ${tasks[sample[1]].label}, ${sample[0]}, output ${repeat + 1}`));
    $("panel-title").classList.toggle("prompt-long", sample[2].length > 240);
    fill($("panel-title"), sample[2] || "No prompt is stored for this sample.");
    const before = sample[3] && el("img");
    if (before) Object.assign(before, { alt: "Input image", width: sample[3][1], height: sample[3][2], src: sample[3][0].startsWith("data:") ? sample[3][0] : sources + sample[3][0] });
    $("panel-source").replaceChildren(...(before ? [before, el("figcaption", "dim", "Input image of both.")] : []));
    drawStage();
    $("panel-runs").replaceChildren(...sides(index).map(told));
    // Focus goes to the panel itself: a held Enter key must not press its first button.
    if (!$("panel").open) { $("panel").showModal(); $("panel").focus(); }
    $("panel").querySelector(".pair-body").scrollTop = 0;
    history.replaceState(null, "", `#pair=${state.second}/${encodeURIComponent(sample[0])}/${repeat}`);
  };
  const step = (by) => { const next = view[view.indexOf(open) + by]; if (next !== undefined) show(next); };
  const closed = () => {
    history.replaceState(null, "", location.href.split("#")[0]);
    const at = view.indexOf(open);
    if (at >= 0 && Math.floor(at / PAGE) !== state.page) { state.page = Math.floor(at / PAGE); draw(); }
    $("cards").querySelector(`[data-index="${open}"]`)?.focus();
    open = -1;
  };
  const follow = () => {
    const link = /^#pair=(\d+)\/(.+)\/(\d+)$/.exec(location.hash);
    if (!link || Number(link[1]) >= pairs.length) return;
    let id;
    try { id = decodeURIComponent(link[2]); } catch { return; }
    const index = plan.findIndex(([at, repeat]) => repeat === Number(link[3]) && samples[at][0] === id);
    if (index < 0) return;
    state.second = Number(link[1]);
    $("second").value = link[1];
    clear();
    show(index);
  };

  // ---- wiring --------------------------------------------------------------------------------------------------
  const choice = (text, value) => { const option = el("option", "", text); option.value = String(value); return option; };
  const chip = (at, label, className) => {
    const node = el("button", `chip ${className}`);
    node.type = "button";
    node.value = String(at);
    node.append(`${label} `, el("span", "chip-count"));
    node.addEventListener("click", () => { state.result = at; refresh(); });
    return node;
  };
  $("task").replaceChildren(choice("All", -1), ...tasks.map((task, at) => choice(task.label, at)));
  $("second").replaceChildren(...runs.slice(1).map((run, at) => choice(clipped(run.name, 60), at)));
  $("second-field").hidden = pairs.length < 2;
  $("results").append(chip(-1, "All", ""), ...results.map((result, at) => chip(at, `${GLYPHS[result.key]} ${result.label}`, `chip-${result.key}`)));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("text").addEventListener("input", () => { state.text = $("text").value.trim().toLowerCase(); refresh(); });
  for (const name of ["task", "second"]) $(name).addEventListener("change", () => { state[name] = Number($(name).value); refresh(); });
  $("order").addEventListener("change", () => { state.order = $("order").value; refresh(); });
  $("reset").addEventListener("click", clear);
  $("page-back").addEventListener("click", () => turn(-1));
  $("page-on").addEventListener("click", () => turn(1));
  $("cards").addEventListener("click", (event) => { const hit = event.target.closest(".card"); if (hit) show(Number(hit.dataset.index)); });
  document.querySelector("main").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-task]");
    if (!link) return;
    const run = /^run-(\d+)$/.exec(link.closest("section").id);
    state.second = run ? Number(run[1]) : 0;
    state.task = tasks.findIndex((task) => task.key === link.dataset.task);
    $("second").value = String(state.second);
    $("task").value = String(state.task);
    refresh();
  });
  $("modes").addEventListener("click", (event) => { const hit = event.target.closest("button"); if (hit) { state.mode = hit.value; drawStage(); } });
  $("panel-back").addEventListener("click", () => step(-1));
  $("panel-on").addEventListener("click", () => step(1));
  $("panel-close").addEventListener("click", () => $("panel").close());
  $("panel").addEventListener("close", closed);
  $("panel").addEventListener("click", (event) => { if (event.target === $("panel")) $("panel").close(); });
  $("panel").addEventListener("keydown", (event) => {
    // In the slider the arrows move the cut.
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.type === "range") return;
    if (event.key === "ArrowRight") { event.preventDefault(); step(1); }
    if (event.key === "ArrowLeft") { event.preventDefault(); step(-1); }
  });
  addEventListener("hashchange", follow);
  refresh();
  follow();
})();
