// One figure of one case over the runs: a chart and its values. A link #series-N shows the series of that number.
(() => {
  const { runs, series } = page.data;
  const find = document.getElementById("find"), chosenCase = document.getElementById("case");
  const chosenFigure = document.getElementById("figure"), said = document.getElementById("said");
  const body = document.querySelector("#values tbody"), holder = document.getElementById("chart");
  const byCase = new Map();
  series.forEach((each, number) => byCase.set(each.case, [...(byCase.get(each.case) ?? []), number]));
  let shown = -1;

  function listCases() {
    const part = find.value.trim().toLowerCase();
    const names = [...byCase.keys()].filter((name) => name.toLowerCase().includes(part));
    chosenCase.replaceChildren(...names.map((name) => page.make("option", { value: name }, name)));
    chosenCase.disabled = !names.length;
    return names;
  }
  function listFigures(name, number) {
    const numbers = byCase.get(name) ?? [];
    chosenFigure.replaceChildren(...numbers.map((each) => page.make("option", { value: each }, series[each].name)));
    if (numbers.length) chosenFigure.value = numbers.includes(number) ? number : numbers[0];
  }
  const label = (run) => `${runs[run].name} (${runs[run].date})`;

  function show(number) {
    if (!series[number]) return;
    shown = number;
    const each = series[number];
    const steps = each.changes.map(([run, how]) => `${how} since ${label(run)}`);
    said.textContent = `${each.case}, ${each.name}: ${each.run.length} runs; ${steps.join("; ") || "no change beyond its noise"}.`
      + (each.reach ? ` Band: ${each.reach}.` : "");
    const changed = new Map(each.changes);
    body.replaceChildren(...each.run.map((run, i) => page.make("tr", {},
      page.make("th", { scope: "row", class: "mono" }, runs[run].name), page.make("td", {}, runs[run].date),
      page.make("td", { class: "number" }, String(each.value[i])),
      page.make("td", {}, each.low[i] === null ? "" : `${each.low[i]} to ${each.high[i] ?? "any"}`),
      page.make("td", {}, page.make("span", { class: each.red[i] ? "badge bad" : "badge" }, each.status[i])),
      page.make("td", {}, changed.has(run) ? `${changed.get(run)} since here` : ""))).reverse());
    if (holder.redraw) holder.redraw();
  }

  // plotly reads some tags in its texts: none of a name's may become one.
  const text = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  function drawn() {
    const each = series[shown];
    const accent = page.colour("--accent"), bad = page.colour("--bad"), soft = page.colour("--soft");
    const last = each.run[each.run.length - 1];
    const traces = each.levels.flatMap(([start, level, low, high], i) => {
      const end = i + 1 < each.levels.length ? each.levels[i + 1][0] - 1 : last;
      const x = [start - .4, end + .4];
      const line = { x, y: [level, level], mode: "lines", line: { color: soft, width: 1.5 }, hoverinfo: "skip", showlegend: false };
      const band = { x: [...x, ...[...x].reverse()], y: [low, low, high, high], fill: "toself", mode: "lines",
        line: { width: 0 }, fillcolor: "rgba(127,127,127,.18)", hoverinfo: "skip", showlegend: i === 0, name: "noise band" };
      return each.band && low !== null ? [band, line] : [line];
    });
    for (const [red, name, colour, symbol] of [[false, "not red", accent, "circle"], [true, "red", bad, "x"]]) {
      const mine = each.run.map((_, i) => i).filter((i) => each.red[i] === red);
      if (!mine.length) continue;
      traces.push({
        x: mine.map((i) => each.run[i]), y: mine.map((i) => each.value[i]), mode: "markers", name,
        marker: { color: colour, symbol, size: 8 },
        text: mine.map((i) => text(`${label(each.run[i])}: ${each.value[i]} (${each.status[i]})`)), hoverinfo: "text",
        error_y: { type: "data", symmetric: false, color: colour, thickness: 1, width: 2,
          array: mine.map((i) => each.high[i] === null ? 0 : each.high[i] - each.value[i]),
          arrayminus: mine.map((i) => each.low[i] === null ? 0 : each.value[i] - each.low[i]) },
      });
    }
    const shapes = each.changes.map(([run]) => ({ type: "line", x0: run - .5, x1: run - .5, yref: "paper", y0: 0, y1: 1,
      line: { color: bad, width: 1.5, dash: "dash" } }));
    const annotations = each.changes.map(([run, how]) => ({ x: run - .5, yref: "paper", y: 1, text: how, showarrow: false,
      xanchor: "left", yanchor: "top", font: { color: bad } }));
    const ticks = each.run.filter((_, i) => i % Math.ceil(each.run.length / 8) === 0);
    return { data: traces, layout: { shapes, annotations, legend: { orientation: "h", y: -.25 }, height: 380,
      xaxis: { tickvals: ticks, ticktext: ticks.map((run) => text(runs[run].date)) },
      yaxis: { title: { text: text(each.name) } } } };
  }

  function follow() {
    const match = /^#series-(\d+)$/.exec(location.hash);
    if (!match || !series[match[1]]) return false;
    find.value = "";
    listCases();
    chosenCase.value = series[match[1]].case;
    listFigures(chosenCase.value, Number(match[1]));
    show(Number(match[1]));
    document.getElementById("figures").scrollIntoView();
    return true;
  }

  if (!series.length) {
    said.textContent = "No figure was measured.";
    document.querySelector("#figures .controls").hidden = true;
    document.querySelector("#figures .scroll").hidden = true;
    return;
  }
  find.addEventListener("input", () => {
    const names = listCases();
    if (names.length) { listFigures(names[0]); show(Number(chosenFigure.value)); } else said.textContent = "No case has that in its name.";
  });
  chosenCase.addEventListener("change", () => { listFigures(chosenCase.value); show(Number(chosenFigure.value)); });
  chosenFigure.addEventListener("change", () => show(Number(chosenFigure.value)));
  addEventListener("hashchange", follow);
  listCases();
  // The newest change is what a reader wants to see first.
  const first = series.reduce((best, each, i) => (each.changes.at(-1)?.[0] ?? -1) > (series[best].changes.at(-1)?.[0] ?? -1) ? i : best, 0);
  if (!follow()) {
    chosenCase.value = series[first].case;
    listFigures(chosenCase.value, first);
    show(first);
  }
  page.chart(holder, drawn);
})();
