// The gallery and the sample panel, drawn from the embedded data. Text enters the page through textContent only.
"use strict";
(() => {
  const PAGE = 96, BOXES = 40, HUES = 6;
  const SVG = "http://www.w3.org/2000/svg";
  const GLYPHS = { correct: "✓", incorrect: "✕", partial: "◐" };
  const { $, el, many, clipped, fill, written, facts } = cards;
  const { tasks, tags, verdicts, samples, items, thumbs, sources } = JSON.parse($("gallery-data").textContent);
  const haystack = samples.map(([id, , prompt]) => `${prompt}\n${id}`.toLowerCase());
  const state = { verdict: -1, task: -1, tag: -1, text: "", order: "failures" };

  const svg = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const tone = (verdict) => (GLYPHS[verdict.key] ? verdict.key : "unscored");
  const badge = (item) => cards.badge(tone(verdicts[item.v]), GLYPHS[verdicts[item.v].key] || "○", `${verdicts[item.v].label}${item.q ? ` ${item.q}` : ""}`);
  const source = (item) => (item.i.startsWith("data:") ? item.i : thumbs + item.i);
  // The original lies beside the report in the run folder; each part is encoded, so no name can leave the path.
  const original = (item) => `../${item.p.split("/").map(encodeURIComponent).join("/")}`;
  // Before and after: a sample's input image, [address, width, height, whether it is the file itself].
  const input = (sample) => {
    if (!sample[5]) return null;
    const [address, width, height, whole] = sample[5], image = el("img", whole && Math.max(width, height) <= 96 ? "pixelated" : "");
    const src = address.startsWith("data:") ? address : sources + address;
    return Object.assign(image, { loading: address.startsWith("data:") ? "eager" : "lazy", decoding: "async", alt: "", width, height, src });
  };
  // An answer in words about a picture: there the picture that was asked about is the one to look at.
  const asked = (item, sample) => !item.i && item.x && sample[5];
  const small = (item) => Math.max(item.w, item.h) <= 96;

  // ---- filters -------------------------------------------------------------------------------------------------
  const passes = (item) => {
    const sample = samples[item.s];
    return (state.task < 0 || sample[1] === state.task)
      && (state.tag < 0 || sample[3].includes(state.tag))
      && (!state.text || haystack[item.s].includes(state.text));
  };
  const refresh = () => {
    const counts = new Array(verdicts.length).fill(0), view = [];
    items.forEach((item, index) => {
      if (!passes(item)) return;
      counts[item.v] += 1;
      if (state.verdict < 0 || state.verdict === item.v) view.push(index);
    });
    if (state.order === "failures") view.sort((a, b) => verdicts[items[a].v].rank - verdicts[items[b].v].rank || (items[a].g || 0) - (items[b].g || 0) || a - b);
    count(counts, state.verdict);
    browser.list(view);
  };
  const clear = () => {
    Object.assign(state, { verdict: -1, task: -1, tag: -1, text: "" });
    $("text").value = ""; $("task").value = "-1"; $("tag").value = "-1";
    refresh();
  };

  // ---- cards ---------------------------------------------------------------------------------------------------
  const card = (index) => {
    const item = items[index], sample = samples[item.s];
    const frame = el("span", "frame");
    if (item.i) {
      const image = el("img", small(item) ? "pixelated" : "");
      Object.assign(image, { loading: item.i.startsWith("data:") ? "eager" : "lazy", decoding: "async", alt: "", width: item.w, height: item.h, src: source(item) });
      const before = input(sample);
      if (before) { frame.classList.add("frame-pair"); frame.append(before); }
      frame.append(image);
    } else if (asked(item, sample)) {
      frame.append(input(sample));
    } else {
      frame.classList.add("frame-empty");
      frame.append(el("span", "frame-text", clipped(item.x || item.e || "No image.", 220)));
    }
    const line = asked(item, sample) ? [badge(item), el("span", "grow", `“${clipped(item.x, 48)}”`)] : [badge(item)];
    return cards.card(index, frame, line, sample[2], `${tasks[sample[1]].label}, image ${item.r + 1}`);
  };

  // ---- panel ---------------------------------------------------------------------------------------------------
  const named = ([name, score, color]) => `${color ? `${color} ` : ""}${name} ${score.toFixed(2)}`;
  const overlay = (item, shownWidth) => {
    const box = svg("svg", { class: "overlay", viewBox: `0 0 ${item.w} ${item.h}`, "aria-hidden": "true" });
    const size = 13 * item.w / Math.max(1, shownWidth);        // 13 CSS pixels, in image pixels
    (item.d || []).slice(0, BOXES).forEach((found, at) => {
      const [, , , x1, y1, x2, y2] = found, right = (x1 + x2) / 2 > item.w / 2;
      const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
      const above = y1 > size * 1.3;
      const label = svg("text", {
        class: `box-label hue${at % HUES}`, "font-size": size, "stroke-width": size / 4, "text-anchor": right ? "end" : "start",
        x: right ? Math.min(x2, item.w - size / 3) : Math.max(x1, size / 3), y: above ? y1 - size * 0.35 : Math.min(y1 + size * 1.15, item.h - size * 0.3),
      });
      label.textContent = clipped(named(found), 40);
      box.append(svg("rect", { class: "box-halo", ...place }), svg("rect", { class: `box hue${at % HUES}`, ...place }), label);
    });
    return box;
  };
  const drawOverlay = () => {
    const stage = $("stage-wrap").querySelector(".stage"), item = items[browser.at()];
    // Boxes belong to an output, not to the picture that a question is about.
    if (!stage || !item?.i) return;
    stage.querySelector("svg")?.remove();
    if ($("panel-boxes").getAttribute("aria-pressed") === "true") stage.append(overlay(item, stage.clientWidth));
  };
  const stage = (item, sample) => {
    if (asked(item, sample)) {
      const node = el("div", "stage"), image = input(sample);
      node.style.setProperty("--ratio", String(sample[5][1] / sample[5][2]));
      image.alt = `Asked about: ${clipped(sample[2], 200)}`;
      node.append(image);
      return node;
    }
    if (!item.i) {
      const empty = el("div", "stage-empty");
      empty.append(el("p", "stage-word", item.x ? "Answer" : verdicts[item.v].label));
      empty.append(written("", item.x || item.e || "There is no image."));
      return empty;
    }
    const node = el("div", "stage"), image = el("img", small(item) ? "pixelated" : "");
    node.style.setProperty("--ratio", String(item.w / item.h));
    image.alt = `Image for: ${clipped(sample[2], 200)}`;
    image.src = source(item);
    if (!item.o) {
      const full = new Image();      // the thumbnail stays when the report was moved away from its run folder
      full.onload = () => { image.src = full.src; };
      full.src = original(item);
    }
    node.append(image);
    return node;
  };
  // What a verdict rests on (`reports/evidence.py`); text enters through textContent here too.
  const SIGNS = { "-": ["del", "wanted, not read"], "+": ["ins", "read, not wanted"] };
  const drawn = {
    diff: (runs) => {
      const node = el("p", "diff");
      node.dir = "auto";
      for (const [op, text] of runs) {
        const [tag, told] = SIGNS[op] || ["span", ""];
        node.append(Object.assign(el(tag, "", text), { title: told }));
      }
      if (!runs.length) node.append(el("span", "dim", "both empty"));
      return [node, el("p", "dim key", "struck through: wanted, not read; underlined: read, not wanted")];
    },
    table: (headers, rows) => {
      const box = el("div", "scroll"), table = el("table", "block"), head = el("tr"), body = el("tbody");
      Object.assign(box, { tabIndex: 0 }).setAttribute("role", "group");
      box.setAttribute("aria-label", "Table");
      head.append(...headers.map((name) => Object.assign(el("th", "", name), { scope: "col" })));
      for (const row of rows) { const line = el("tr"); line.append(...row.map((cell) => el("td", "", cell))); body.append(line); }
      const top = el("thead");
      top.append(head); table.append(top, body); box.append(table);
      return [box];
    },
    quote: (text, note) => {
      const node = el("blockquote", "said");
      node.append(written("", text));
      return note ? [node, el("p", "dim", note)] : [node];
    },
    facts: (lines) => {
      const list = el("dl", "facts path");
      list.append(...facts(lines));
      return [list];
    },
  };
  const block = ([kind, title, ...rest]) => [el("h4", "", title), ...(drawn[kind] ? drawn[kind](...rest) : [])];
  const scored = (score) => {
    const row = el("div", "score"), values = Object.entries(score.v || {}).map(([name, value]) => `${name} ${value}`);
    row.append(el("p", "score-head", [score.n, score.o || values.join(", ")].filter(Boolean).join(": ")));
    if (score.r) row.append(written("reason", score.r));
    for (const one of score.b || []) row.append(...block(one));
    if (score.e) { const rest = el("p", "dim evidence"); fill(rest, score.e, 300); row.append(rest); }
    return row;
  };
  const detected = (item) => {
    if (!item.d) return [];
    const list = el("ol", "detections");
    item.d.forEach((found, at) => {
      const row = el("li"), mark = el("span", at < BOXES ? `swatch hue${at % HUES}` : "swatch");
      const [name, score, color] = found;
      row.append(mark, el("span", "grow", `${color ? `${color} ` : ""}${name}`), el("span", "num", score.toFixed(3)));
      list.append(row);
    });
    const count = item.dn ? `Detections, best ${many(item.d.length)} of ${many(item.dn)}` : `Detections, ${many(item.d.length)}`;
    return [el("h3", "", count), list];
  };
  const fillPanel = (index) => {
    const item = items[index], sample = samples[item.s];
    $("panel-boxes").hidden = !(item.i && item.d);
    $("panel-verdict").replaceChildren(badge(item));
    const before = asked(item, sample) ? null : input(sample);
    if (before) before.alt = "Input image";
    $("panel-source").replaceChildren(...(before ? [before, el("figcaption", "dim", item.i ? "Input image; the output is the large one." : "Input image.")] : []));
    $("panel-scores").replaceChildren(...(item.sc || []).map(scored));
    $("panel-detections").replaceChildren(...detected(item));
    $("panel-facts").replaceChildren(...facts([
      ["Error", item.i ? item.e : undefined], ["Answer", item.i || asked(item, sample) ? item.x : undefined], ["Expected", sample[4] ?? undefined], ["Task", tasks[sample[1]].label],
      ["Slices", sample[3].map((tag) => tags[tag]).join(", ")], ["Sample", sample[0]], ["Repeat", item.r], ["Seed", item.seed],
      ["Size", item.w ? `${item.w} × ${item.h} px` : undefined], ["Seconds", item.t], ["File", item.p],
    ]));
    $("stage-wrap").replaceChildren(stage(item, sample));
    return `#sample=${encodeURIComponent(sample[0])}/${item.r}`;
  };
  const follow = () => {
    const link = /^#sample=(.+)\/(\d+)$/.exec(location.hash);
    if (!link) return;
    let id;
    try { id = decodeURIComponent(link[1]); } catch { return; }
    const index = items.findIndex((item) => item.r === Number(link[2]) && samples[item.s][0] === id);
    if (index < 0) return;
    if (!browser.lists(index)) clear();
    browser.show(index);
  };

  // ---- wiring --------------------------------------------------------------------------------------------------
  cards.options($("task"), tasks.map((task) => task.label));
  cards.options($("tag"), tags);
  $("tag-field").hidden = tags.length === 0;
  const ranked = verdicts.map((verdict, at) => [verdict, at]).sort((a, b) => a[0].rank - b[0].rank);
  const count = cards.chips($("verdicts"), ranked.map(([verdict, at]) => [at, `${GLYPHS[verdict.key] || "○"} ${verdict.label}`, `chip-${tone(verdict)}`]), (at) => { state.verdict = at; refresh(); });
  const browser = cards.browser({
    total: items.length, size: PAGE, body: ".panel-body", make: card, prompt: (index) => samples[items[index].s][2], fillPanel, shown: drawOverlay,
  });
  cards.filters(state, ["task", "tag"], refresh, clear);
  document.querySelector("main").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-task], a[data-tag]");
    if (!link) return;
    const kind = link.dataset.task === undefined ? "tag" : "task", name = link.dataset[kind];
    state[kind] = kind === "task" ? tasks.findIndex((task) => task.key === name) : tags.indexOf(name);
    $(kind).value = String(state[kind]);
    refresh();
  });
  $("panel-boxes").addEventListener("click", () => {
    $("panel-boxes").setAttribute("aria-pressed", String($("panel-boxes").getAttribute("aria-pressed") !== "true"));
    drawOverlay();
  });
  addEventListener("resize", () => { if (browser.at() >= 0) drawOverlay(); });
  addEventListener("hashchange", follow);
  refresh();
  follow();
})();
