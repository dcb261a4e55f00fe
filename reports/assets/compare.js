// Pairs of outputs at equal seeds, drawn from the embedded data. Text enters the page through textContent only.
"use strict";
(() => {
  const PAGE = 60;
  const GLYPHS = { won: "▲", lost: "▼", tied: "=", unpaired: "○" };
  const { $, el, clipped, written, facts } = cards;
  const { tasks, samples, sources, results, plan, runs, pairs } = JSON.parse($("pair-data").textContent);
  const haystack = samples.map(([id, , prompt]) => `${prompt}\n${id}`.toLowerCase());
  const state = { result: -1, task: -1, second: 0, text: "", order: "losses", mode: "side" };

  const sides = (index) => [[runs[0], runs[0].items[index]], [runs[state.second + 1], runs[state.second + 1].items[index]]];
  const badge = (index) => {
    const result = results[pairs[state.second][index][0]];
    return cards.badge(result.key, GLYPHS[result.key], result.label);
  };
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
    const counts = new Array(results.length).fill(0), found = pairs[state.second], view = [];
    plan.forEach(([at], index) => {
      if ((state.task >= 0 && samples[at][1] !== state.task) || (state.text && !haystack[at].includes(state.text))) return;
      counts[found[index][0]] += 1;
      if (state.result < 0 || state.result === found[index][0]) view.push(index);
    });
    if (state.order === "losses") view.sort((a, b) => found[a][1] - found[b][1] || a - b);
    if (state.order === "wins") view.sort((a, b) => found[b][1] - found[a][1] || a - b);
    count(counts, state.result);
    browser.list(view);
  };
  const clear = () => {
    Object.assign(state, { result: -1, task: -1, text: "" });
    $("text").value = "";
    $("task").value = "-1";
    refresh();
  };

  // ---- cards ---------------------------------------------------------------------------------------------------
  const card = (index) => {
    const [at, repeat] = plan[index], sample = samples[at], frame = el("span", "frame frame-pair");
    for (const [run, item] of sides(index)) {
      const half = el("span", "frame-half");
      half.append(item.i ? picture(run, item, "", false) : el("span", "frame-text", clipped(item.x || item.e || "No output.", 160)));
      frame.append(half);
    }
    const change = el("span", "card-change", sides(index).map(([, item]) => item.v).join(" → "));
    return cards.card(index, frame, [badge(index), change], sample[2], `${tasks[sample[1]].label}, output ${repeat + 1}`);
  };

  // ---- panel ---------------------------------------------------------------------------------------------------
  const caption = (run, item, place) => {
    const node = el("figcaption", "pair-caption"), name = el("strong");
    name.append(el("bdi", "", run.name));
    node.append(name, `, ${place}: ${item.v}`);
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
      } else figure.append(written("pair-answer", item.x || item.e || "There is no output."));
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
    const node = el("div"), head = el("h3"), list = el("dl", "facts");
    head.append(el("bdi", "", run.name), ` (${at ? "second" : "first"}): ${item.v}`);
    node.append(head);
    if (item.r) node.append(written("reason", item.r));
    list.append(...facts([["Error", item.e], ["Answer", item.i ? item.x : undefined], ["Seed", item.seed], ["File", item.p]]));
    node.append(list);
    return node;
  };
  const drawStage = (index) => {
    const both = sides(index), sample = samples[plan[index][0]], images = both.every(([, item]) => item.i);
    $("modes").hidden = !images;
    for (const node of $("modes").children) node.setAttribute("aria-pressed", String(node.value === state.mode));
    const make = images ? { side: sideBySide, slider, flip }[state.mode] : sideBySide;
    $("stage").replaceChildren(...make(both, sample));
  };
  const fillPanel = (index) => {
    const [at, repeat] = plan[index], sample = samples[at];
    $("panel-result").replaceChildren(badge(index), el("span", "dim", ` ${tasks[sample[1]].label}, ${sample[0]}, output ${repeat + 1}`));
    const before = sample[3] && el("img");
    if (before) Object.assign(before, { alt: "Input image", width: sample[3][1], height: sample[3][2], src: sample[3][0].startsWith("data:") ? sample[3][0] : sources + sample[3][0] });
    $("panel-source").replaceChildren(...(before ? [before, el("figcaption", "dim", "Input image of both.")] : []));
    drawStage(index);
    $("panel-runs").replaceChildren(...sides(index).map(told));
    return `#pair=${state.second}/${encodeURIComponent(sample[0])}/${repeat}`;
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
    browser.show(index);
  };

  // ---- wiring --------------------------------------------------------------------------------------------------
  cards.options($("task"), tasks.map((task) => task.label));
  $("second").replaceChildren(...runs.slice(1).map((run, at) => cards.option(clipped(run.name, 60), at)));
  $("second-field").hidden = pairs.length < 2;
  const count = cards.chips($("results"), results.map((result, at) => [at, `${GLYPHS[result.key]} ${result.label}`, `chip-${result.key}`]), (at) => { state.result = at; refresh(); });
  const browser = cards.browser({
    total: plan.length, size: PAGE, body: ".pair-body", make: card, prompt: (index) => samples[plan[index][0]][2], fillPanel,
  });
  cards.filters(state, ["task", "second"], refresh, clear);
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
  $("modes").addEventListener("click", (event) => { const hit = event.target.closest("button"); if (hit) { state.mode = hit.value; drawStage(browser.at()); } });
  addEventListener("hashchange", follow);
  refresh();
  follow();
})();
