// The strip of a stack's blocks, coloured by the harm of skipping each alone, and plans drawn under it.
const plans = (() => {
  const { make } = page;
  // Viridis from its light end: even steps of lightness, told apart with any common colour vision.
  const RAMP = ["#fde725", "#b5de2b", "#6ece58", "#35b779", "#1f9e89", "#26828e", "#31688e", "#3e4989", "#482878", "#440154"];
  const parts = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));

  function colour(share) {
    const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
    const low = parts(RAMP[Math.floor(at)]), high = parts(RAMP[Math.ceil(at)]), rest = at - Math.floor(at);
    return low.map((value, i) => Math.round(value + (high[i] - value) * rest));
  }

  const css = (rgb) => `rgb(${rgb.join(" ")})`;
  function readable([red, green, blue]) {
    const linear = [red, green, blue].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.19 ? "#0d1116" : "#ffffff";
  }

  // Small harms are the question: the scale is the square root of harm.
  const share = (harm, most) => (most > 0 ? Math.sqrt(Math.max(0, harm) / most) : 0);
  const brief = (value) => (Math.abs(value) >= 9.95 ? value.toFixed(0) : value.toFixed(1)).replace(/^-0\.0$/, "0.0");

  const CELL = 34, TOP = 46;

  function singles(cases, stack) {
    const out = new Map();
    for (const each of cases) {
      if (each.stack === stack && each.single !== null && each.interval?.harm && !out.has(each.single)) out.set(each.single, each);
    }
    return out;
  }

  // The strip as SVG. `open(case)` is called when a block is chosen.
  function strip(cases, stack, length, open) {
    const known = singles(cases, stack);
    const most = Math.max(0, ...[...known.values()].map((each) => each.interval.harm[0]));
    const svg = make("svg:svg", { viewBox: `0 0 ${length * CELL} ${TOP}`, width: length * CELL, height: TOP, class: "strip", role: "group", "aria-label": `Blocks of ${stack}` });
    for (let block = 0; block < length; block += 1) {
      const single = known.get(block), x = block * CELL;
      const harm = single?.interval.harm[0];
      const rgb = single ? colour(share(harm, most)) : null;
      const label = single ? `block ${block}: skipping it alone harms ${harm.toFixed(2)} points` : `block ${block}: not skipped alone in this run`;
      const cell = make("svg:g", single ? { tabindex: 0, role: "button", "aria-label": label, class: "block known" } : { role: "img", "aria-label": label, class: "block" },
        make("svg:title", {}, label),
        make("svg:rect", { x: x + 1, y: 16, width: CELL - 2, height: 28, rx: 4, class: single ? "" : "unknown", style: rgb ? `fill: ${css(rgb)}` : null }));
      svg.append(make("svg:text", { x: x + CELL / 2, y: 11, "aria-hidden": "true" }, String(block)), cell,
        make("svg:text", { x: x + CELL / 2, y: 34, class: "value", "aria-hidden": "true", style: rgb ? `fill: ${readable(rgb)}` : null }, single ? brief(harm) : "?"));
      if (single) {
        cell.addEventListener("click", () => open(single));
        cell.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(single); } });
      }
    }
    return { svg, most };
  }

  // What a plan runs, over the same columns.
  function lane(each, length) {
    const height = 34, middle = 17, radius = 4.5;
    const words = `plan ${each.plan}`;
    const svg = make("svg:svg", { viewBox: `0 0 ${length * CELL} ${height}`, width: length * CELL, height, class: "lane", role: "img", "aria-label": words }, make("svg:title", {}, words));
    const x = (block) => block * CELL + CELL / 2;
    const { runs, path, groups, ordered } = each.lane;
    for (const [first, last, text] of groups) {
      svg.append(make("svg:rect", { x: x(first) - 13, y: 5, width: x(last) - x(first) + 26, height: height - 10, rx: 8, class: "together" }, make("svg:title", {}, `blocks ${first} to ${last}: ${text}`)));
    }
    if (!ordered && !groups.length) {
      let line = path.length ? `M${x(path[0])} ${middle}` : "";
      for (let i = 1; i < path.length; i += 1) {
        const from = x(path[i - 1]), to = x(path[i]);
        const bend = path[i] === path[i - 1] + 1 ? middle : path[i] > path[i - 1] ? -6 : height + 6;
        line += ` Q${(from + to) / 2} ${bend} ${to} ${middle}`;
      }
      svg.append(make("svg:path", { d: line, class: "order" }));
    }
    const by = new Map(runs.map((run) => [run[0], run]));
    for (let block = 0; block < length; block += 1) {
      const run = by.get(block), at = x(block);
      if (!run) {
        svg.append(make("svg:path", { d: `M${at - 4} ${middle - 4}l8 8m0 -8l-8 8`, class: "gone" }));
      } else if (run[1] > 1) {
        svg.append(make("svg:circle", { cx: at, cy: middle, r: 8.5, class: "runs" }), make("svg:text", { x: at, y: middle + 4, class: "times" }, String(run[1])));
      } else {
        svg.append(make("svg:circle", { cx: at, cy: middle, r: radius, class: run[2] ? "runs part" : "runs" }, run[2] ? make("svg:title", {}, `block ${block}${run[2]}`) : null));
      }
    }
    return svg;
  }

  function legend(most) {
    const stops = RAMP.map((hex) => hex).join(", ");
    return make("p", { class: "small soft ramp" }, "harm of skipping one block [points]: 0 ",
      make("span", { class: "gradient", style: `background: linear-gradient(to right, ${stops})`, role: "img", "aria-label": "colour scale" }), ` ${brief(most)} (square-root scale); ? is not measured`);
  }

  return { strip, lane, legend, CELL };
})();
