// The panel of one case: verdicts, the command, pictures, the plan, prompts, figures.
const cases = (() => {
  const { make, data } = page;
  const dialog = document.getElementById("case");
  const body = document.getElementById("case-body");

  const GOOD = new Set(["ok", "updated"]);
  function badge(status, red) {
    const kind = red ? "bad" : GOOD.has(status) ? "good" : "odd";
    const sign = { bad: "\u2717", good: "\u2713", odd: "\u25cb" }[kind];
    return make("span", { class: `badge ${kind}` }, make("span", { "aria-hidden": "true" }, sign), status);
  }

  function copied(text) {
    const said = make("span", { role: "status", class: "small soft" });
    const button = make("button", { type: "button", onclick: async () => {
      try { await navigator.clipboard.writeText(text); said.textContent = "copied"; } catch { said.textContent = "select it and copy it yourself"; }
    } }, "Copy");
    return make("div", { class: "command" }, make("pre", { tabindex: 0, role: "group", "aria-label": "Command" }, text), button, said);
  }

  function table(head, rows, options = {}) {
    return make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": options.label ?? "Table" },
      make("table", {}, make("thead", {}, make("tr", {}, head.map((text, i) => make("th", { scope: "col", class: options.numbers?.includes(i) ? "number" : null }, text)))),
        make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, i) => make("td", { class: options.numbers?.includes(i) ? "number" : null }, cell)))))));
  }

  // A value between the ends of its tolerance, as a picture; the numbers stand beside it.
  function bullet(check) {
    if (check.excess === null || check.difference === null) return "";
    const place = Math.max(-2, Math.min(2, check.excess * Math.sign(check.difference)));
    return make("svg:svg", { viewBox: "0 0 120 16", width: 120, height: 16, class: "bullet", role: "img", "aria-label": `${check.excess.toFixed(2)} tolerances from the stored value` },
      make("svg:line", { x1: 4, x2: 116, y1: 8, y2: 8, class: "axis" }), make("svg:rect", { x: 32, y: 4, width: 56, height: 8, rx: 2, class: "allowed" }),
      make("svg:line", { x1: 60, x2: 60, y1: 2, y2: 14, class: "axis" }), make("svg:circle", { cx: 60 + 28 * place, cy: 8, r: 4, class: check.red ? "outside" : "inside" }));
  }

  function checks(result) {
    return table(["figure", "measured", "stored", "tolerance", "measured within it", "verdict"],
      result.checks.map((check) => [`${check.metric}${check.unit ? ` [${check.unit}]` : ""}`, check.value, check.baseline, check.tolerance === "-" ? "-" : `\u00b1${check.tolerance}${check.source ? ` (${check.source})` : ""}`, bullet(check), badge(check.status, check.red)]),
      { numbers: [1, 2], label: "Figures against the stored values" });
  }

  const KINDS = { quality: "Images", latency: "Time", control: "Control" };
  function results(each) {
    return each.results.flatMap((result) => [
      make("h3", {}, `${KINDS[result.kind]} against the stored values `, badge(result.status, result.red)),
      result.message ? make("pre", { class: "message", tabindex: 0, role: "group", "aria-label": "Message of the test" }, result.message) : null,
      ...result.notes.filter((note) => !result.message.includes(note)).map((note) => make("p", { class: "small" }, note)),
      result.checks.length ? checks(result) : make("p", { class: "soft small" }, "No figure was compared."),
      result.command ? copied(result.command) : null,
    ]);
  }

  const interval = ([value, low, high], digits = 2) => {
    const text = (number) => (number === null ? "?" : number.toFixed(digits));
    return `${text(value)} [${text(low)}, ${text(high)}]`;
  };

  function byTask(each, group, number) {
    return group.tasks.flatMap((tasks) => {
      const row = tasks.rows.find(([index]) => index === number);
      if (!row) return [];
      const most = Math.max(1e-9, ...row[1].map(([value]) => Math.abs(value ?? 0)));
      return [make("h3", {}, `By ${tasks.kind} `, make("span", { class: "soft small" }, tasks.unit)),
        table([tasks.kind, "prompts", "loss, with its 95 % interval", "drawn"], tasks.tasks.map((task, i) => [task, String(tasks.prompts[i]), interval(row[1][i]),
          make("span", { class: "harmbar plain", style: `--share: ${Math.max(0, (row[1][i][0] ?? 0) / most)}` })]), { numbers: [1, 2], label: `Loss by ${tasks.kind}` })];
    });
  }

  function timing(latency) {
    const middle = (values) => { const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1; return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2; };
    const spread = (values) => `${middle(values).toPrecision(4)} ms (${Math.min(...values).toPrecision(4)} to ${Math.max(...values).toPrecision(4)}, ${values.length} forwards)`;
    return [make("h3", {}, "Time of one forward"), table(["what", "median (least to most)"], [
      ["control", spread(latency.control)], ["variant", spread(latency.variant)],
      ["speed-up", `${latency.ratio.toFixed(3)} [${latency.low.toFixed(3)}, ${latency.high.toFixed(3)}], in theory ${latency.theory.toFixed(3)}`],
      ["images in a forward", String(latency.batch)],
      ...(latency.peak && latency.control_peak ? [["peak memory", `${(latency.peak / 2 ** 30).toFixed(2)} GiB, control ${(latency.control_peak / 2 ** 30).toFixed(2)} GiB`]] : []),
    ], { label: "Time of one forward" })];
  }

  function facts(each, group) {
    if (!each.cells) return null;
    return make("dl", { class: "facts" }, group.columns.map((column, i) => [column, each.cells[i]])
      .filter(([column, text]) => column.brief && !["variant", "gate", "plan"].includes(column.name) && text !== "-")
      .map(([column, text]) => {
        const [, main, rest] = /^(\S+)(.*)$/.exec(text) ?? [null, text, ""];
        return make("div", { class: "fact" }, make("dt", {}, column.unit ? `${column.label} [${column.unit}]` : column.name === "rank" ? "rank" : column.label), make("dd", {}, main, make("small", {}, rest)));
      }));
  }

  function open(number, go) {
    const each = data.cases[number], group = data.groups[each.group];
    document.getElementById("case-title").textContent = each.name;
    document.getElementById("case-badges").replaceChildren(badge(each.gate, each.results.some((r) => r.red && r.status === each.gate)),
      make("span", { class: "badge" }, group.name), each.plan ? make("code", { class: "plan" }, `${each.stack ? `${each.stack}: ` : ""}${each.plan}`) : "");
    const pictures = each.prompts?.length ? [make("h3", {}, "Control and variant"), compare.view(each, group)] : [];
    const length = group.stacks[each.stack];
    const drawn = each.lane && length ? [make("h3", {}, "Plan"), make("div", { class: "scroll strips", tabindex: 0, role: "group", "aria-label": "Plan over the blocks" },
      plans.strip(data.cases.filter((other) => other.group === each.group), each.stack, length, (other) => go(data.cases.indexOf(other))).svg, plans.lane(each, length))] : [];
    const red = each.results.some((result) => result.red);
    body.replaceChildren(...[facts(each, group), ...(red ? results(each) : []), ...pictures, ...drawn, ...(red ? [] : results(each)),
      ...byTask(each, group, number), ...(each.latency ? timing(each.latency) : []),
      ...(each.figures.length ? [make("h3", {}, "All figures"), make("details", {}, make("summary", {}, `${each.figures.length} figures`),
        table(["figure", "value", "unit"], each.figures, { numbers: [1], label: "All figures" }))] : [])].filter(Boolean));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    document.getElementById("case-title").focus({ preventScroll: true });
  }

  return { open, dialog, badge, table, interval };
})();
