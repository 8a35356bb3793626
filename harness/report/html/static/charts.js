// Harm against speed-up, and harm by kind of prompt, drawn by plotly.
const charts = (() => {
  const { make, data } = page;
  // Okabe and Ito's colours that are seen on white and on dark, and a shape each, so that no colour is needed.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c"];
  const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down", "pentagon"];

  // A kind of variant has one colour and shape in all figures of the page.
  const kindOf = (each) => (each.way === "plan" ? each.base : each.way);
  const kinds = [...new Set(data.cases.filter((each) => each.interval?.harm && each.interval.speed).map(kindOf))].sort((a, b) => (b === "skip") - (a === "skip") || a.localeCompare(b));

  const TICKS = [-10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]; // points of harm
  const WHISKERS = 250; // points; with more of them whiskers hide more than they show, and take seconds to draw
  // plotly reads a few tags in texts: no name of anybody's is one.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  function choice(label, options, draw) {
    const select = make("select", { onchange: () => draw() }, options.map(([value, text]) => make("option", { value }, text)));
    return { select, field: make("label", { class: "field" }, make("span", {}, label), select) };
  }

  const inGroup = (number) => data.cases.map((each, i) => ({ each, number: i })).filter(({ each }) => each.group === number);

  function pareto(holder, number, open) {
    const group = data.groups[number];
    const timed = inGroup(number).filter(({ each }) => each.interval?.harm && each.interval.speed);
    if (!timed.length) return false;
    const element = make("div", { class: "chart", role: "group", "aria-label": `Harm against speed-up of ${timed.length} variants of ${group.name}; the table of variants has the same figures` });
    const scale = choice("Harm", [["small", "logarithmic beyond 1 point"], ["linear", "linear"]], () => redraw());
    const which = choice("Variants", [["all", "all"], ["removes", "those that leave out blocks or steps"]], () => redraw());
    holder.append(make("div", { class: "controls" }, scale.field, which.field), element);
    const redraw = page.chart(element, () => {
      const shown = timed.filter(({ each }) => which.select.value === "all" || each.removes);
      // The inverse hyperbolic sine: linear below a point, where noise is, and logarithmic beyond it.
      const small = scale.select.value === "small";
      const up = (value) => (small && value !== null ? Math.asinh(value) : value);
      const ink = page.colour("--ink"), strong = page.colour("--strong-line");
      const traces = kinds.flatMap((kind, i) => {
        const own = shown.filter(({ each }) => kindOf(each) === kind);
        if (!own.length) return [];
        const x = own.map(({ each }) => each.interval.speed[0]), harm = own.map(({ each }) => each.interval.harm[0]), y = harm.map(up);
        const arms = (values, side) => values.map(([value, low, high]) => (side ? (high ?? value) - value : value - (low ?? value)));
        const speeds = own.map(({ each }) => each.interval.speed), harms = own.map(({ each }) => each.interval.harm);
        const ends = (values, digits) => values.map(([, low, high]) => (low === null || high === null ? "" : ` [${low.toFixed(digits)}, ${high.toFixed(digits)}]`));
        const bars = (values) => ({ visible: shown.length <= WHISKERS, type: "data", symmetric: false, array: arms(values, true), arrayminus: arms(values, false), thickness: 1, width: 0, color: strong });
        return [{
          type: "scatter", mode: "markers", name: plain(kind), x, y, customdata: own.map((row) => row.number), text: own.map(({ each }) => each.name), hovertext: own.map(({ each }, j) => `<b>${plain(each.name)}</b><br>speed-up ${x[j].toFixed(2)}${ends(speeds, 2)[j]}<br>harm ${harm[j].toFixed(2)}${ends(harms, 2)[j]} points`),
          error_x: bars(speeds), error_y: bars(harms.map((ends) => ends.map(up))),
          marker: { color: COLOURS[i % COLOURS.length], symbol: own.map(({ each }) => SHAPES[i % SHAPES.length] + (each.removes ? "" : "-open")), size: own.map(({ each }) => (each.pareto ? 13 : 9)), line: { width: 1.2, color: own.map(({ each }) => (each.pareto ? ink : COLOURS[i % COLOURS.length])) } },
          hoverinfo: "text",
        }];
      });
      for (const [name, plans, dash] of [["Pareto front of modifiers", false, "dashdot"], ["Pareto front", true, "dot"]]) {
        const front = shown.filter(({ each }) => each.pareto && (each.way === "plan") === plans).sort((a, b) => a.each.interval.speed[0] - b.each.interval.speed[0]);
        if (front.length) traces.unshift({ type: "scatter", mode: "lines", name, hoverinfo: "skip", line: { color: page.colour("--soft"), width: 1.5, dash },
          x: [1, ...front.map(({ each }) => each.interval.speed[0])], y: [0, ...front.map(({ each }) => up(each.interval.harm[0]))] });
      }
      return {
        data: traces,
        layout: { height: 470, hovermode: "closest", legend: { orientation: "h", y: -0.2 }, xaxis: { title: { text: "speed-up of a forward" } }, yaxis: { title: { text: "harm [points]" }, rangemode: small ? "normal" : "tozero", ...(small ? { tickvals: TICKS.map(up), ticktext: TICKS.map(String) } : {}) },
          shapes: [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: { width: 1, color: page.colour("--strong-line") } }] },
        ready: (drawn) => { drawn.removeAllListeners?.("plotly_click"); drawn.on("plotly_click", (event) => event.points[0].customdata !== undefined && open(event.points[0].customdata)); },
      };
    });
    return true;
  }

  function byTask(holder, number) {
    const group = data.groups[number];
    const element = make("div", { class: "chart" });
    const kind = choice("By", group.tasks.map((tasks, i) => [i, tasks.kind]), () => redraw());
    const which = choice("Variants", [["removes", "those that leave out blocks"], ["all", "all"], ["worst", "the most harmful"]], () => redraw());
    const note = make("p", { class: "small soft" });
    holder.append(make("div", { class: "controls" }, kind.field, which.field), note, element);
    const MOST = 60;
    const redraw = page.chart(element, () => {
      const tasks = group.tasks[Number(kind.select.value)];
      let rows = tasks.rows.map(([index, losses]) => ({ each: data.cases[index], index, losses })).sort((a, b) => a.index - b.index);
      const removing = rows.filter(({ each }) => each.removes);
      if (which.select.value === "removes" && removing.length) rows = removing;
      const all = rows.length;
      rows = which.select.value === "worst" ? rows.slice(-MOST) : rows.slice(0, MOST);
      note.textContent = `Mean ${tasks.unit}; variants by rank, the least harmful on top${all > rows.length ? `; ${rows.length} of ${all}` : ""}. Each case has the intervals.`;
      element.setAttribute("role", "group");
      element.setAttribute("aria-label", `Loss by ${tasks.kind} of ${rows.length} variants; the panel of each case has the same figures as a table`);
      const z = rows.map(({ losses }) => losses.map(([value]) => value));
      return {
        data: [{ type: "heatmap", z, x: tasks.tasks.map((task, i) => `${plain(task)} (${tasks.prompts[i]})`), y: rows.map(({ each }) => plain(each.name)), colorscale: [[0, page.colour("--none")], [0.5, page.colour("--half")], [1, page.colour("--most")]], zmin: 0, xgap: 1, ygap: 1,
          colorbar: { title: { text: "loss" }, thickness: 12 }, hovertemplate: "<b>%{y}</b><br>%{x}: %{z:.3f}<extra></extra>" }],
        layout: { height: Math.max(260, 110 + rows.length * 19), yaxis: { autorange: "reversed", type: "category" }, xaxis: { side: "top", type: "category" }, margin: { l: 60, r: 10, t: 60, b: 10 } },
      };
    });
    return true;
  }

  return { pareto, byTask };
})();
