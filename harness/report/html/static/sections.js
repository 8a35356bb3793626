// The sections of the page that are lists and tables: verdict, what changed, what can go, blocks, claims, environment.
const sections = (() => {
  const { make, file, data } = page;
  const { badge, table } = cases;
  const holder = (name) => document.getElementById(`${name}-body`);
  const link = (number) => make("a", { href: `#${variants.address(number)}` }, data.cases[number].name);
  const titled = (group) => (data.groups.length > 1 ? [make("h3", {}, group.name)] : []);
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  function verdict() {
    const { changes } = data;
    if (!data.groups.length && data.claims.length) return claims();
    const compared = changes.compared > 0;
    const bad = data.red > 0;
    const sentence = bad ? `${data.red} of ${count(data.results, "result")} ${data.red === 1 ? "is" : "are"} red`
      : compared ? `None of ${count(data.results, "result")} is red` : `Nothing is red, and nothing was compared with stored values`;
    const kind = bad ? "bad" : compared ? "good" : "odd";
    holder("verdict").append(make("p", { class: `verdict ${kind}` }, make("span", { "aria-hidden": "true", class: "sign" }, { bad: "\u2717", good: "\u2713", odd: "\u25cb" }[kind]), sentence),
      make("p", { class: "badges" }, data.counts.map(([status, many]) => make("span", { class: "badge" }, `${many} ${status}`))));
    claims();
    red();
    changed();
    whatCanGo();
  }

  // A verdict on a claim is a result, and no failure: no colour says that one is good or bad.
  function claims() {
    for (const each of data.claims) holder("verdict").append(make("p", { class: "verdict odd" }, `Published claims on ${each.checkpoint}: ${each.summary}`));
  }

  function red() {
    const all = data.cases.flatMap((each, number) => each.results.filter((result) => result.red).map((result) => ({ each, number, result })));
    if (!all.length) return;
    const excess = ({ result }) => Math.max(0, ...result.checks.map((check) => check.excess ?? 0));
    all.sort((a, b) => excess(b) - excess(a));
    const SHOWN = 12;
    const item = ({ number, result }) => make("li", {}, make("details", {}, make("summary", {}, make("span", { class: "soft small" }, result.kind === "latency" ? "time of " : ""), data.cases[number].name, " ", badge(result.status, true), make("span", { class: "headline" }, result.headline)),
      make("pre", { class: "message" }, result.message), make("p", {}, make("a", { href: `#${variants.address(number)}` }, "Pictures, figures and the command"))));
    const list = make("ul", { class: "reds" }, all.slice(0, SHOWN).map(item));
    holder("verdict").append(make("h3", {}, "What is red, the furthest outside its tolerance first"), list);
    if (all.length > SHOWN) {
      const more = make("button", { type: "button", onclick: () => { list.append(...all.slice(SHOWN).map(item)); more.remove(); } }, `Show all ${all.length}`);
      holder("verdict").append(more);
    }
  }

  function changed() {
    const { changes } = data;
    const out = holder("verdict");
    out.append(make("h3", {}, "What changed since the stored values"));
    if (!changes.compared) {
      const reasons = data.groups.flatMap((group) => group.foot.filter((text) => text.startsWith("not compared with stored values")));
      out.append(make("p", {}, "No figure of this run has a stored value to be compared with."), make("ul", {}, [...new Set(reasons)].map((text) => make("li", {}, text))));
      return;
    }
    const moved = changes.compared - changes.same;
    out.append(make("p", {}, `${count(changes.compared, "figure")} compared: ${changes.same.toLocaleString("en")} the same in the six digits that are stored, ${(moved - changes.outside).toLocaleString("en")} moved within tolerance, ${changes.outside.toLocaleString("en")} outside.`));
    if (changes.circumstances.length) out.append(make("p", {}, "Differs from when they were stored: ", make("strong", {}, changes.circumstances.join("; "))));
    if (!changes.moved.length) return;
    const rows = changes.moved.map(([number, check]) => [link(number), `${check.metric}${check.unit ? ` [${check.unit}]` : ""}`, check.baseline, check.value, check.excess === null ? "-" : check.excess.toFixed(2), badge(check.status, check.red)]);
    const FEW = 8;
    const body = table(["variant", "figure", "stored", "now", "tolerances away", "verdict"], rows.slice(0, FEW), { numbers: [2, 3, 4], label: "Figures that moved" });
    out.append(body);
    if (rows.length > FEW) {
      const more = make("button", { type: "button", class: "quiet", onclick: () => { body.replaceWith(table(["variant", "figure", "stored", "now", "tolerances away", "verdict"], rows, { numbers: [2, 3, 4], label: "Figures that moved" })); more.remove(); } }, `Show the ${rows.length} that moved most${changes.more ? ` of ${rows.length + changes.more}` : ""}`);
      out.append(more);
    }
  }

  function whatCanGo() {
    for (const group of data.groups) {
      if (!group.removals.length) continue;
      const columns = group.removal_columns.map((name) => group.columns.find((column) => column.name === name)).filter(Boolean);
      const cells = (number) => columns.map((column) => (column.name === "variant" ? link(number) : column.name === "gate" ? badge(data.cases[number].gate, data.cases[number].red)
        : column.name === "plan" ? make("code", {}, variants.cell(data.cases[number], column.name)) : variants.cell(data.cases[number], column.name)));
      const numbers = columns.flatMap((column, i) => (column.text ? [] : [i]));
      holder("verdict").append(make("h3", {}, `What can go: ${group.name} (${count(group.prompts, "prompt")})`),
        make("p", { class: "small soft" }, "Of each stack the least harmful skip of one block, of two, and so on, and the Pareto front (*)."),
        table(columns.map((column) => (column.name === "rank" ? "rank" : column.unit ? `${column.label} [${column.unit}]` : column.label)), group.removals.map(cells), { numbers, label: `What can go of ${group.name}` }));
    }
    for (const group of data.groups) if (group.errors.length) holder("verdict").append(make("h3", {}, group.errors[0]), make("ul", {}, group.errors.slice(1).map((text) => make("li", {}, make("code", {}, text)))));
  }

  function matches(out, group) {
    if (!group.matches.length) return;
    out.append(make("h3", {}, "At the same cost: the same time saved in other ways"),
      table(["speed-up", "kind", "variant", "its speed-up in theory", "harm [sd]", "more than the best plan [sd]"],
        group.matches.map((match) => [`${match.speed_up}x`, match.kind, match.names.join(" or "), `${match.theory.toFixed(2)}x`, cases.interval(match.harm), match.more ? cases.interval(match.more) : "-"]), { numbers: [0, 3, 4, 5], label: "At the same cost" }),
      make("p", { class: "small soft" }, "Each row is the least harmful variant of its kind that is at least as fast in theory, chosen on one half of the prompts and judged on the other; above 0 in the last column the plan is better."));
  }

  function speed(open) {
    const out = holder("speed");
    let any = false;
    data.groups.forEach((group, number) => {
      const part = make("div");
      if (!charts.pareto(part, number, open)) return;
      any = true;
      out.append(...titled(group), part);
      matches(out, group);
    });
    if (!any) out.append(make("p", { class: "soft" }, "No variant of this run has both a harm and a time (see the options for latency tests)."));
  }

  function blocks(open) {
    const out = holder("blocks");
    const FEW = 10;
    let any = false;
    data.groups.forEach((group, number) => {
      const own = data.cases.filter((each) => each.group === number);
      for (const [stack, length] of Object.entries(group.stacks)) {
        any = true;
        const drawn = own.filter((each) => each.stack === stack && each.lane);
        const { svg, most } = plans.strip(own, stack, length, (each) => open(data.cases.indexOf(each)));
        const lanes = make("div", { class: "lanes" });
        const row = (each) => make("div", { class: "lane-row" }, plans.lane(each, length), make("a", { href: `#${variants.address(data.cases.indexOf(each))}` }, each.name.replace(`${stack}-`, "")),
          make("span", { class: "soft small" }, each.interval?.harm ? `harm ${each.interval.harm[0].toFixed(2)}` : "", each.interval?.speed ? `, ${each.interval.speed[0].toFixed(2)}x` : ""));
        const several = drawn.filter((each) => each.single === null);
        lanes.append(...several.slice(0, FEW).map(row));
        const more = make("button", { type: "button", class: "quiet", onclick: () => { lanes.append(...[...several.slice(FEW), ...drawn.filter((each) => each.single !== null)].map(row)); more.remove(); } }, `Show all ${drawn.length} plans`);
        out.append(make("h3", {}, data.groups.length > 1 ? `${group.name}: ${stack}` : stack, make("span", { class: "soft small" }, ` ${count(length, "block")}`)),
          make("div", { class: "scroll strips", tabindex: 0, role: "group", "aria-label": `Blocks and plans of ${stack}` }, svg, lanes), most > 0 ? plans.legend(most) : "", drawn.length > Math.min(FEW, several.length) ? more : "");
      }
    });
    if (!any) out.append(make("p", { class: "soft" }, "No plan of this run can be drawn."));
  }

  function tasks() {
    const out = holder("tasks");
    let any = false;
    data.groups.forEach((group, number) => {
      if (!group.tasks.length) return;
      any = true;
      out.append(...titled(group));
      charts.byTask(out, number);
    });
    if (!any) out.append(make("p", { class: "soft" }, "The prompts of this run have no categories."));
  }

  const SUPPORT = { supported: "good", contradicted: "bad" };
  function findings() {
    const out = holder("findings");
    if (!out) return;
    const source = (text) => (/^https:\/\/[^\s]+$/.test(text) ? make("a", { href: text, rel: "noreferrer" }, text) : text);
    out.append(table(["claim", "model", "statement", "verdict", "because", "source"], data.findings.map((each) => [each.id, each.checkpoint, each.statement,
      make("span", { class: `badge ${SUPPORT[each.verdict] ?? "odd"}` }, each.verdict), each.because, source(each.source)]), { label: "Published claims" }));
    const commands = data.findings.filter((each) => each.command);
    if (commands.length) out.append(make("details", {}, make("summary", {}, "The commands that measure them again"), make("pre", { tabindex: 0, role: "group", "aria-label": "Commands" }, commands.map((each) => each.command).join("\n"))));
  }

  function analyses() {
    const out = holder("analysis");
    if (!out) return;
    for (const { name, figures, pages } of data.analyses) {
      out.append(make("h3", {}, name), make("p", {}, pages.flatMap((each) => [make("a", { href: file("analysis", name, each) }, each === "figures.html" ? "Interactive figures" : "Tables"), "  "])),
        make("div", { class: "gallery" }, figures.map((each) => make("figure", {}, make("a", { href: file("analysis", name, each) }, make("img", { src: file("analysis", name, each), loading: "lazy", alt: each.replace(/\.png$/, "").replaceAll("-", " ") })), make("figcaption", {}, each.replace(/\.png$/, "").replaceAll("-", " "))))));
    }
  }

  function environment() {
    const out = holder("environment");
    for (const group of data.groups) out.append(...titled(group), make("dl", { class: "environment" }, group.environment.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
    const measured = new Set(data.groups.map((group) => group.checkpoint));
    for (const each of data.claims) if (each.environment.length && !measured.has(each.checkpoint)) out.append(make("h3", {}, each.checkpoint), make("dl", { class: "environment" }, each.environment.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
    const files = document.getElementById("files");
    if (data.files.length) files.append("The same numbers and the pictures: ", ...data.files.flatMap((name, i) => [i ? ", " : "", make("a", { href: file(name) }, name)]), ".");
  }

  return { verdict, speed, blocks, tasks, findings, analyses, environment };
})();
