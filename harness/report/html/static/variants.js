// The ranked table: sort, filter, search, columns that fold, and rows that are only there while they are in view.
const variants = (() => {
  const { make, data } = page;
  const frame = document.getElementById("table-frame");
  const ROW = 38, ALL = 300, SPARE = 12;
  const rows = data.cases.map((each, number) => ({ each, number })).filter(({ each }) => each.kind !== "control");
  const columns = unionOfColumns();
  const state = { sort: "rank", down: false, q: "", red: false, filters: {}, shown: new Set(columns.filter((c) => c.brief).map((c) => c.name)) };
  let view = [], changed = () => {};

  function unionOfColumns() {
    const out = new Map();
    for (const group of data.groups) group.columns.forEach((column) => out.has(column.name) || out.set(column.name, { ...column }));
    const list = [...out.values()];
    if (!list.some((column) => column.brief && !["rank", "variant", "gate"].includes(column.name))) list.forEach((column) => { column.brief = true; });
    // gate closes every table.
    return [...list.filter((column) => column.name !== "gate"), ...list.filter((column) => column.name === "gate")];
  }

  const places = data.groups.map((group) => new Map(group.columns.map((column, i) => [column.name, i])));
  const cell = (each, name) => (each.cells && places[each.group].has(name) ? each.cells[places[each.group].get(name)] : "-");
  function sortable(each, name) {
    if (!each.sort) return name === "variant" ? each.name : name === "gate" ? each.gate : null;
    return places[each.group].has(name) ? each.sort[places[each.group].get(name)] : null;
  }

  const several = (values) => new Set(values).size > 1;
  const FILTERS = [
    ["family", "Family", (each) => data.groups[each.group].family],
    ["checkpoint", "Checkpoint", (each) => data.groups[each.group].name],
    ["stack", "Stack", (each) => each.stack || "whole model"],
    ["range", "Range", (each) => each.range],
    ["strategy", "Strategy", (each) => each.base || "-"],
    ["gate", "Gate", (each) => each.gate],
    ["saves", "Saves time", (each) => (each.removes ? "leaves out blocks" : "runs every block")],
  ].map(([name, label, of]) => ({ name, label, of, options: [...new Set(rows.map(({ each }) => of(each)))].sort((a, b) => a.localeCompare(b, "en", { numeric: true })) }))
    .filter(({ of }) => several(rows.map(({ each }) => of(each))));

  const words = rows.map(({ each }) => [each.case, each.name, each.strategy, each.plan, each.range, each.gate, data.groups[each.group].name].join(" ").toLowerCase());

  function matching() {
    const asked = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter(({ each }, i) => (!state.red || each.red) && asked.every((word) => words[i].includes(word))
      && FILTERS.every(({ name, of }) => !state.filters[name] || of(each) === state.filters[name]));
  }

  const collator = new Intl.Collator("en", { numeric: true });
  function compareBy(name, sign) {
    if (name === "rank") return (a, b) => sign * (a.number - b.number); // model by model, which is how they are ranked
    return (a, b) => {
      const x = sortable(a.each, name), y = sortable(b.each, name);
      if (x === null || y === null) return x === y ? a.number - b.number : x === null ? 1 : -1; // what was not measured is last, either way
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : collator.compare(String(x), String(y))) || a.number - b.number;
    };
  }

  const heads = new Map();
  const body = make("tbody");
  const table = make("table", { class: "variants" });

  function shownColumns() { return columns.filter((column) => state.shown.has(column.name) || column.name === "variant"); }

  function drawHead() {
    heads.clear();
    const line = make("tr", {}, shownColumns().map((column) => {
      const title = column.name === "rank" ? "rank" : column.label || column.name;
      const button = make("button", { type: "button", title: column.legend, onclick: () => sortBy(column.name) }, title,
        column.unit ? make("span", { class: "unit" }, ` ${column.unit}`) : null, make("span", { class: "arrow", "aria-hidden": "true" }));
      const head = make("th", { scope: "col", class: column.text && column.name !== "rank" ? `c-${column.name}` : "number", "data-column": column.name }, button);
      heads.set(column.name, head);
      return head;
    }));
    table.replaceChildren(make("caption", { class: "sr" }, "Variants"), make("thead", {}, line), body);
    markSort();
  }

  function markSort() {
    for (const [name, head] of heads) {
      if (name === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  function sortBy(name) {
    if (state.sort === name) state.down = !state.down;
    else { state.sort = name; state.down = columns.find((column) => column.name === name)?.better === "higher"; }
    update();
  }

  function line({ each, number }, at) {
    const group = data.groups[each.group];
    const link = make("a", { href: `#${address(number)}`, "data-case": number }, each.name);
    return make("tr", { "aria-rowindex": at + 2, class: each.red ? "red" : null }, shownColumns().map((column) => {
      if (column.name === "variant") {
        return make("th", { scope: "row", class: "c-variant" }, link, data.groups.length > 1 ? make("span", { class: "soft small" }, ` ${group.name}`) : null);
      }
      if (column.name === "gate") return make("td", { class: "c-gate" }, cases.badge(each.gate, each.red));
      const text = cell(each, column.name);
      const [, main, rest] = /^(.*?)(\s\[.*)?$/.exec(text);
      const star = rest?.endsWith("*");
      return make("td", { class: column.text && column.name !== "rank" ? `c-${column.name}` : "number" }, main,
        star ? make("span", { class: "star", title: "on the Pareto front" }, "*") : null,
        rest ? make("span", { class: "ends" }, star ? rest.slice(0, -1) : rest) : null);
    }));
  }

  // With many rows, only those in view are there, between two rows as high as the others would be.
  let first = -1, last = -1;
  function drawRows(everything = false) {
    const whole = everything || view.length <= ALL;
    const top = Math.max(0, frame.scrollTop - ROW);
    const from = whole ? 0 : Math.max(0, Math.floor(top / ROW) - SPARE);
    const to = whole ? view.length : Math.min(view.length, Math.ceil((top + frame.clientHeight) / ROW) + SPARE);
    if (!whole && from === first && to === last) return;
    first = from; last = to;
    const width = shownColumns().length;
    const space = (count) => (count > 0 ? make("tr", { "aria-hidden": "true", class: "space" }, make("td", { colspan: width, style: `height: ${count * ROW}px` })) : null);
    const held = document.activeElement?.dataset?.case;
    body.replaceChildren(...[space(from), ...view.slice(from, to).map((row, i) => line(row, from + i)), space(view.length - to)].filter(Boolean));
    if (held !== undefined && frame.contains(document.activeElement) === false) body.querySelector(`a[data-case="${held}"]`)?.focus({ preventScroll: true });
  }

  const status = document.getElementById("shown");
  const foot = document.getElementById("table-foot");
  function update() {
    view = matching().sort(compareBy(state.sort, state.down ? -1 : 1));
    table.setAttribute("aria-rowcount", view.length + 1);
    status.textContent = `${view.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} variants`;
    first = -1; last = -1;
    drawHead();
    drawRows();
    syncControls();
    changed();
  }

  const controls = {};
  function syncControls() {
    controls.search.value === state.q || (controls.search.value = state.q);
    controls.red?.setAttribute("aria-pressed", String(state.red));
    for (const { name } of FILTERS) controls[name].value = state.filters[name] ?? "";
    for (const box of controls.columns.querySelectorAll("input")) box.checked = state.shown.has(box.value);
    controls.reset.hidden = !state.q && !state.red && !Object.values(state.filters).some(Boolean);
  }

  function buildControls() {
    const holder = document.getElementById("filters");
    controls.search = make("input", { type: "search", placeholder: "Search name, plan, strategy", "aria-label": "Search variants", oninput: (event) => { state.q = event.target.value; frame.scrollTop = 0; update(); } });
    holder.append(make("label", { class: "field grow" }, make("span", {}, "Search"), controls.search));
    for (const { name, label, options } of FILTERS) {
      controls[name] = make("select", { onchange: (event) => { state.filters[name] = event.target.value; frame.scrollTop = 0; update(); } },
        make("option", { value: "" }, "all"), options.map((option) => make("option", { value: option }, option)));
      holder.append(make("label", { class: "field" }, make("span", {}, label), controls[name]));
    }
    if (rows.some(({ each }) => each.red)) {
      controls.red = make("button", { type: "button", "aria-pressed": "false", onclick: () => { state.red = !state.red; frame.scrollTop = 0; update(); } }, "Only red");
      holder.append(controls.red);
    }
    controls.reset = make("button", { type: "button", class: "quiet", onclick: () => { state.q = ""; state.red = false; state.filters = {}; update(); } }, "Show all");
    controls.columns = make("div", { class: "choices" }, columns.filter((column) => column.name !== "variant").map((column) => make("label", {},
      make("input", { type: "checkbox", value: column.name, onchange: (event) => { event.target.checked ? state.shown.add(column.name) : state.shown.delete(column.name); update(); } }),
      make("span", {}, make("strong", {}, column.name === "rank" ? "rank" : column.label || column.name, column.unit ? ` [${column.unit}]` : ""), make("span", { class: "soft small" }, ` ${column.legend}`)))));
    const all = make("button", { type: "button", onclick: () => { columns.forEach((column) => state.shown.add(column.name)); update(); } }, "All columns");
    const few = make("button", { type: "button", onclick: () => { state.shown = new Set(columns.filter((c) => c.brief).map((c) => c.name)); update(); } }, "The main ones");
    holder.append(make("details", { class: "menu" }, make("summary", {}, "Columns and what they mean"), make("div", { class: "panel" }, make("p", {}, all, " ", few), controls.columns)), controls.reset);
  }

  // The part of the page's address that leads to a case: its name, and its group where the name is there twice.
  const addresses = new Map();
  const counts = new Map();
  data.cases.forEach((each, number) => {
    const times = counts.get(each.case) ?? 0;
    counts.set(each.case, times + 1);
    addresses.set(times ? `${each.case}~${times + 1}` : each.case, number);
  });
  const named = new Map([...addresses].map(([name, number]) => [number, name]));
  const address = (number) => new URLSearchParams({ case: named.get(number) }).toString();
  const numberOf = (name) => addresses.get(name);

  function start(onChange) {
    buildControls();
    frame.append(table);
    frame.addEventListener("scroll", () => requestAnimationFrame(() => drawRows()), { passive: true });
    new ResizeObserver(() => drawRows()).observe(frame);
    addEventListener("beforeprint", () => drawRows(true));
    addEventListener("afterprint", () => { first = -1; drawRows(); });
    for (const group of data.groups) {
      if (group.foot.length) foot.append(make("h3", {}, data.groups.length > 1 ? group.name : "Notes"), make("ul", {}, group.foot.map((text) => make("li", {}, text))));
    }
    update();
    changed = onChange;
  }

  // What of the table's state stands in the page's address, and back.
  function toAddress(parameters) {
    if (state.q) parameters.set("q", state.q);
    if (state.red) parameters.set("red", "1");
    if (state.sort !== "rank" || state.down) parameters.set("sort", (state.down ? "-" : "") + state.sort);
    for (const { name } of FILTERS) if (state.filters[name]) parameters.set(name, state.filters[name]);
  }
  function fromAddress(parameters) {
    state.q = parameters.get("q") ?? "";
    state.red = parameters.get("red") === "1";
    const sort = parameters.get("sort") ?? "rank";
    const name = sort.replace(/^-/, "");
    if (columns.some((column) => column.name === name)) { state.sort = name; state.down = sort.startsWith("-"); }
    for (const filter of FILTERS) state.filters[filter.name] = filter.options.includes(parameters.get(filter.name)) ? parameters.get(filter.name) : "";
    const silent = changed; changed = () => {};
    update();
    changed = silent;
  }

  const beside = (number, step) => {
    const at = view.findIndex((row) => row.number === number);
    return at < 0 ? null : view[at + step]?.number ?? null;
  };

  return { start, toAddress, fromAddress, address, numberOf, beside, cell, state };
})();
