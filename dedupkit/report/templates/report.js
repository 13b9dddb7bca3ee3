// The report's page: filters, borderline pairs and review marks, out of the JSON in #data.
// Strings of the set reach the page as text nodes and attributes alone, never as markup.
(() => {
  "use strict";

  const data = JSON.parse(document.getElementById("data").textContent);
  const samples = data.samples;
  const byId = (id) => document.getElementById(id);
  const GROUPS_A_PAGE = 12, PAIRS_A_PAGE = 12, ROWS_A_PAGE = 25;

  // ---- building ----

  /** An element; values of `attributes` that are functions listen, false ones are left out. */
  function h(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(key, value);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false && value != null) element.setAttribute(key, value);
    }
    element.append(...children.flat().filter((child) => child != null && child !== false));
    return element;
  }

  const number = (value) => value.toLocaleString("en-US");
  const percent = (share) => `${(100 * share).toFixed(share > 0.995 && share < 1 ? 2 : 0)} %`;
  const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;
  const short = (text, most = 200) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

  function picture(sample, words) {
    const alt = `${words}: ${short(sample.k ?? "", 80)}`;
    const source = sample.t && `data:${data.mime};base64,${sample.t}`;
    return h("div", { class: "picture" }, source ? h("img", { src: source, alt }) : "no picture");
  }

  const keyOf = (sample) =>
    h("bdi", { class: "key", title: short(sample.k ?? "") }, short(sample.k ?? ""));
  const captionOf = (sample) => sample.c && h("bdi", { class: "caption", title: sample.c }, sample.c);

  function sizeOf(sample) {
    const form = sample.f ? ` ${sample.f.toUpperCase()}` : "";
    return sample.w && h("span", { class: "dimensions" }, `${sample.w} × ${sample.h}${form}`);
  }

  /** Shows one page of `rows` in `list`, with buttons in `pager` where there are more. */
  function pages(list, pager, size, build) {
    const state = { rows: [], page: 0 };
    const button = (words, step) =>
      h("button", { type: "button", class: "plain", click: () => turn(state.page + step) }, words);
    const [before, where, after] = [button("Previous", -1), h("span", { role: "status" }), button("Next", 1)];
    pager.append(before, where, after);
    pager.hidden = true;

    function turn(page) {
      const last = Math.max(0, Math.ceil(state.rows.length / size) - 1);
      state.page = Math.min(Math.max(0, page), last);
      list.replaceChildren(...state.rows.slice(state.page * size, (state.page + 1) * size).map(build));
      pager.hidden = last === 0;
      where.textContent = `Page ${number(state.page + 1)} of ${number(last + 1)}`;
      // A button that holds the focus is never disabled, or the keyboard would be lost.
      for (const [each, none] of [[before, state.page === 0], [after, state.page === last]]) {
        each.setAttribute("aria-disabled", String(none));
      }
      paint();
    }
    return {
      show(rows) {
        state.rows = rows;
        turn(0);
      },
    };
  }

  // ---- review marks ----

  const FORMAT = 1;
  const ACTIONS = { keep: "stays", drop: "goes", keep_group: "whole group stays" };
  const PLACE = `dedupkit:${data.run}`;
  const marks = new Map(); // a row of overrides.json by its place, in the order in which they were made

  // A sample stays or goes; besides, the group of a kept one may be undone.
  const placeOf = (action, key) => `${action === "keep_group" ? "group" : "sample"}:${key}`;
  const isMarked = (action, key) => marks.get(placeOf(action, key))?.action === action;

  function toggle(action, key) {
    const place = placeOf(action, key);
    const was = isMarked(action, key);
    marks.delete(place);
    if (!was) marks.set(place, { key, action });
    changed();
  }

  function mark(action, key, words) {
    return h(
      "button",
      {
        type: "button",
        class: "mark",
        "aria-label": `${words}: ${short(key, 80)}`,
        "aria-pressed": String(isMarked(action, key)),
        click: () => toggle(action, key),
        "data-action": action,
        "data-key": key,
      },
      words,
    );
  }

  /** Every button says whether its mark is set, wherever it stands. */
  function paint() {
    for (const button of document.querySelectorAll("button.mark")) {
      const { action, key } = button.dataset;
      button.setAttribute("aria-pressed", String(isMarked(action, key)));
    }
  }

  function overrides() {
    return { dedupkit_overrides: FORMAT, overrides: [...marks.values()] };
  }

  function changed() {
    paint();
    const count = marks.size;
    say(count ? counted(count, "mark", "marks") : "No marks yet");
    for (const id of ["save", "undo", "show-marks"]) byId(id).setAttribute("aria-disabled", String(!count));
    if (!byId("marks-list").hidden) listMarks();
    try {
      localStorage.setItem(PLACE, JSON.stringify(overrides()));
    } catch {
      // Some browsers keep nothing for a page from disk; the file can still be saved.
    }
  }

  function say(words) {
    byId("marks-count").textContent = words;
  }

  function listMarks() {
    const rows = [...marks].reverse().map(([place, row]) =>
      h(
        "li",
        {},
        h("span", { class: `action ${row.action === "drop" ? "dropped" : "kept"}` }, ACTIONS[row.action]),
        h("bdi", { class: "key", title: short(row.key) }, short(row.key)),
        h("input", {
          type: "text",
          placeholder: "note",
          "aria-label": `Note on ${short(row.key, 80)}`,
          value: row.note ?? "",
          change: (event) => note(place, event.target.value.trim()),
        }),
        h(
          "button",
          { type: "button", class: "plain", "aria-label": `Take back: ${short(row.key, 80)}`, click: () => take(place) },
          "Take back",
        ),
      ),
    );
    byId("marks-list").replaceChildren(h("ul", {}, rows));
  }

  function take(place) {
    marks.delete(place);
    changed();
    if (!marks.size) showMarks(false);
    (byId("marks-list").querySelector("button") ?? byId("show-marks")).focus();
  }

  function note(place, words) {
    const { note: _, ...row } = marks.get(place);
    marks.set(place, words ? { ...row, note: words } : row);
    changed();
  }

  function showMarks(open) {
    byId("marks-list").hidden = !open;
    byId("show-marks").setAttribute("aria-expanded", String(open));
    if (open) listMarks();
  }

  function save() {
    if (!marks.size) return;
    const blob = new Blob([JSON.stringify(overrides(), null, 1) + "\n"], { type: "application/json" });
    const link = h("a", { href: URL.createObjectURL(blob), download: "overrides.json" });
    link.click();
    URL.revokeObjectURL(link.href);
    say(`${counted(marks.size, "mark", "marks")}: dedupkit clean … --overrides overrides.json`);
  }

  /** Rows of a file's text; throws where it is no file of overrides. */
  function rowsOf(text) {
    const told = JSON.parse(text);
    if (told?.dedupkit_overrides !== FORMAT || !Array.isArray(told.overrides)) throw new Error("format");
    for (const row of told.overrides) {
      if (typeof row?.key !== "string" || !Object.hasOwn(ACTIONS, row.action)) throw new Error("row");
    }
    return told.overrides;
  }

  function takeIn(text) {
    const rows = rowsOf(text);
    for (const { key, action, note } of rows) {
      const place = placeOf(action, key);
      marks.delete(place);
      marks.set(place, typeof note === "string" && note ? { key, action, note } : { key, action });
    }
    return rows.length;
  }

  async function load(file) {
    try {
      const count = takeIn(await file.text());
      changed();
      say(`${counted(marks.size, "mark", "marks")}, ${number(count)} of them loaded`);
    } catch {
      say(`${short(file.name, 60)} is no file of overrides; choose one that this page saved`);
    }
  }

  function startMarks() {
    try {
      const kept = localStorage.getItem(PLACE);
      if (kept) takeIn(kept);
    } catch {
      // nothing is kept, or not by us
    }
    byId("save").addEventListener("click", save);
    byId("undo").addEventListener("click", () => {
      const last = [...marks.keys()].pop();
      if (last !== undefined) marks.delete(last);
      changed();
    });
    byId("show-marks").addEventListener("click", () => showMarks(byId("marks-list").hidden && marks.size > 0));
    byId("load").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", async ({ target }) => {
      if (target.files.length) await load(target.files[0]);
      target.value = ""; // so that the same file can be loaded again
    });
    changed();
  }

  // ---- groups ----

  const weakest = (group) => Math.min(1, ...group.m.map((member) => member.s ?? 1));
  const keptOf = (group) => group.m.filter((member) => member.x).map((member) => samples[member.i])[0];

  function member(row, group) {
    const sample = samples[row.i];
    const told = row.x
      ? [h("span", { class: "action kept" }, "kept"), sizeOf(sample), captionOf(sample)]
      : [h("span", { class: "evidence", title: row.q }, row.e), sizeOf(sample), captionOf(sample)];
    const button = row.x ? mark("drop", sample.k, "Drop") : mark("keep", sample.k, "Not a copy");
    return h(
      "figure",
      { class: row.x ? "kept" : "" },
      picture(sample, row.x ? "Kept" : "Copy"),
      h("figcaption", {}, keyOf(sample), told),
      button,
    );
  }

  function groupCard(group) {
    const kept = keptOf(group);
    const shown = group.n > group.m.length ? ` · ${group.m.length} shown` : "";
    const drawn = group.d ? " · drawn at random" : "";
    return h(
      "article",
      { class: "group-card" },
      h(
        "div",
        { class: "head" },
        h("h3", {}, counted(group.n, "copy", "copies"), h("span", {}, shown + drawn)),
        kept && mark("keep_group", kept.k, "Undo group"),
      ),
      h("div", { class: "members" }, group.m.map((row) => member(row, group))),
    );
  }

  const marked = (group) =>
    group.m.some(({ i }) => ["sample", "group"].some((kind) => marks.has(`${kind}:${samples[i].k}`)));

  function options(select, values, words) {
    select.append(...values.map((value) => h("option", { value }, words[value] ?? value)));
  }

  function startGroups() {
    const form = byId("filters");
    if (!form) return;
    const list = pages(byId("group-list"), byId("group-pager"), GROUPS_A_PAGE, groupCard);
    const all = data.groups.flatMap((group) => group.m);
    const present = (wanted, found) => Object.keys(wanted).filter((name) => found.has(name));
    options(byId("tier"), present(data.tiers, new Set(all.map((row) => row.t))), data.tiers);
    options(byId("reason"), present(data.reasons, new Set(all.map((row) => samples[row.i].r))), data.reasons);
    const texts = data.groups.map((group) =>
      group.m.map(({ i }) => `${samples[i].k ?? ""}\n${samples[i].c ?? ""}`).join("\n").toLowerCase(),
    );
    const measured = data.groups.map((group, place) => ({ group, place, weakest: weakest(group) }));
    const orders = {
      "": (a, b) => a.place - b.place,
      weakest: (a, b) => a.weakest - b.weakest || a.place - b.place,
      smallest: (a, b) => a.group.n - b.group.n || a.place - b.place,
    };

    function filter() {
      const find = byId("find").value.trim().toLowerCase();
      const [tier, reason, which] = ["tier", "reason", "which"].map((id) => byId(id).value);
      const [low, high] = byId("size").value.split("-").map((end) => (end === "" ? Infinity : Number(end)));
      const most = byId("weakest").value / 100;
      byId("weakest-is").textContent = percent(most);
      const rows = measured.filter(
        ({ group, place, weakest: seen }) =>
          texts[place].includes(find) &&
          (!tier || group.m.some((row) => row.t === tier)) &&
          (!reason || group.m.some((row) => samples[row.i].r === reason)) &&
          group.n >= low &&
          group.n <= high &&
          seen <= most &&
          (!which || (which === "marked" ? marked(group) : (which === "drawn") === Boolean(group.d))),
      );
      rows.sort(orders[byId("order").value]);
      byId("groups-result").textContent = rows.length
        ? `${number(rows.length)} of ${counted(measured.length, "group", "groups")}`
        : "No group is like that; reset the filters to see all.";
      list.show(rows.map(({ group }) => group));
    }

    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter)); // when the fields are as they were
    filter();
  }

  // ---- pairs ----

  const MEASURES = {
    score: { field: "s", title: "Geometry's score", step: 0.01, more: true, show: (value) => value.toFixed(2) },
    hamming_bits: { field: "b", title: "Bits that differ", step: 1, more: false, show: (value) => `${value}` },
    cosine: { field: "o", title: "Cosine of embeddings", step: 0.01, more: true, show: (value) => value.toFixed(2) },
  };
  const FATE = { keep: "kept", drop: "dropped", quarantine: "quarantined" };

  function side(place) {
    const sample = samples[place];
    const dropped = sample.a === "drop";
    const fate = FATE[sample.a] ?? "";
    return h(
      "div",
      { class: "side" },
      picture(sample, fate === "kept" ? "Kept" : "Dropped"),
      keyOf(sample),
      h("span", { class: `action ${fate}` }, fate),
      captionOf(sample),
      dropped ? mark("keep", sample.k, "Not a copy") : mark("drop", sample.k, "Drop"),
    );
  }

  const keptFirst = (places) => [...places].sort((a, b) => (samples[a].a === "drop") - (samples[b].a === "drop"));

  function pairCard(pair, verdict) {
    return h(
      "figure",
      { class: "pair-card" },
      h("div", { class: "two" }, keptFirst(pair.p).map(side)),
      h("figcaption", {}, verdict, h("span", { class: "evidence", title: pair.q }, pair.e)),
    );
  }

  function startBorderline() {
    if (!data.measures.length || !byId("borderline")) return;
    const slider = byId("limit");
    let chosen = data.measures[0];
    const about = () => MEASURES[chosen.name];
    const value = (pair) => pair[about().field];
    const counts = (pair, limit) => (about().more ? value(pair) >= limit : value(pair) <= limit);
    const list = pages(byId("pair-list"), byId("pair-pager"), PAIRS_A_PAGE, (pair) => {
      const now = counts(pair, Number(slider.value));
      const words = now === pair.y ? (now ? "a copy" : "no copy") : now ? "would be a copy" : "would be no copy";
      const kind = `verdict ${now ? "dropped" : "kept"}${now === pair.y ? "" : " other"}`;
      return pairCard(pair, h("span", { class: kind }, `${words} at ${about().show(value(pair))}`));
    });

    function show() {
      const limit = Number(slider.value);
      const pairs = chosen.pairs.filter((pair) => value(pair) !== undefined);
      byId("limit-is").textContent = about().show(limit);
      const [gained, lost] = [true, false].map(
        (now) => pairs.filter((pair) => counts(pair, limit) === now && pair.y !== now).length,
      );
      const change = [
        gained && `${counted(gained, "pair", "pairs")} more would be copies`,
        lost && `${counted(lost, "pair", "pairs")} would be none any more`,
      ].filter(Boolean);
      const what = change.length ? change.join(", ") : "none changes sides";
      byId("limit-result").textContent =
        `${chosen.option} = ${about().show(limit)} in [matching]: of the ${counted(pairs.length, "pair", "pairs")} here ${what}.`;
      const far = (pair) => Math.abs(value(pair) - limit);
      list.show([...pairs].sort((a, b) => far(a) - far(b)));
    }

    function choose(measure) {
      chosen = measure;
      const seen = measure.pairs.map(value).filter((each) => each !== undefined);
      const [low, high] = [Math.min(measure.limit, ...seen), Math.max(measure.limit, ...seen)];
      const step = about().step;
      slider.min = Math.floor(low / step) * step;
      slider.max = Math.ceil(high / step) * step;
      slider.step = step;
      slider.value = measure.limit;
      byId("limit-words").textContent = `${about().title}, ${about().more ? "at least" : "at most"}`;
      show();
    }

    const choices = data.measures.map((measure) =>
      h(
        "label",
        { class: "choice" },
        h("input", {
          type: "radio",
          name: "measure",
          checked: measure === chosen,
          change: () => choose(measure),
        }),
        MEASURES[measure.name].title,
      ),
    );
    byId("measures-choice").append(...choices);
    byId("measures-choice").hidden = choices.length < 2;
    slider.addEventListener("input", show);
    byId("limit-reset").addEventListener("click", () => choose(chosen));
    choose(chosen);
  }

  function startLookAlikes() {
    if (!byId("look-alikes")) return;
    const [here, all] = [data.look_alikes.length, data.look_alikes_total];
    byId("look-alikes-words").textContent =
      `Near by embedding, but geometry does not lay the one over the other: burst shots, the same product, the same ` +
      `template. They stay unless the recipe says otherwise. ` +
      (here < all ? `The ${number(here)} nearest of ${number(all)} pairs.` : `${counted(all, "pair", "pairs")}.`);
    const list = pages(byId("alike-list"), byId("alike-pager"), PAIRS_A_PAGE, (pair) =>
      pairCard(pair, pair.o !== undefined && h("span", { class: "verdict kept" }, `cosine ${pair.o.toFixed(2)}`)),
    );
    list.show(data.look_alikes);
  }

  // ---- quarantine ----

  function startQuarantine() {
    const rows = data.quarantined;
    if (!rows.length || !byId("quarantine-rows")) return;
    const list = pages(byId("quarantine-rows"), byId("quarantine-pager"), ROWS_A_PAGE, (row) =>
      h(
        "tr",
        {},
        h("td", {}, keyOf(row), h("bdi", { class: "shard" }, short(row.s ?? ""))),
        h("td", {}, h("span", { class: "action quarantined" }, data.reasons[row.r] ?? row.r)),
        h("td", {}, h("bdi", { class: "detail" }, short(row.d, 300))),
      ),
    );
    const select = byId("quarantine-reason");
    options(select, Object.keys(data.reasons).filter((name) => rows.some((row) => row.r === name)), data.reasons);
    function show() {
      const found = rows.filter((row) => !select.value || row.r === select.value);
      byId("quarantine-result").textContent = `${number(found.length)} of ${number(rows.length)}`;
      list.show(found);
    }
    select.addEventListener("change", show);
    show();
  }

  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  startMarks();
  startGroups();
  startBorderline();
  startLookAlikes();
  startQuarantine();
})();
