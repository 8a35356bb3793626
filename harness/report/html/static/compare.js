// Control and variant of one prompt, by slider, flicker, side by side or difference; prompts with the highest harm first.
const compare = (() => {
  const { make, file } = page;
  const MODES = [["slider", "Slider"], ["flicker", "Flicker"], ["side", "Side by side"], ["difference", "Difference"]];
  let mode = "slider";

  // A tile of a sheet as the background of an element; tiles stand row by row, as many in a row as the root of their number.
  function tile(sheet, count, index, size) {
    const columns = Math.ceil(Math.sqrt(count)), rows = Math.ceil(count / columns);
    const across = (at, of) => (of > 1 ? (100 * at) / (of - 1) : 0);
    const element = make("div", { class: "tile" });
    const pixelated = size.naturalWidth / columns < 192;
    Object.assign(element.style, {
      backgroundImage: `url("${file("images", sheet).replaceAll('"', "%22").replaceAll("'", "%27").replaceAll("(", "%28").replaceAll(")", "%29")}")`,
      backgroundSize: `${columns * 100}% ${rows * 100}%`,
      backgroundPosition: `${across(index % columns, columns)}% ${across(Math.floor(index / columns), rows)}%`,
      aspectRatio: `${size.naturalWidth / columns} / ${size.naturalHeight / rows}`,
      imageRendering: pixelated ? "pixelated" : "auto",
    });
    return element;
  }

  const loaded = (name) => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error(`the picture images/${name} is not beside this page`));
    image.src = file("images", name);
  });

  // The order of prompts: highest harm first; without harm that of the file.
  function order(each) {
    const harms = each.prompts ?? [];
    return harms.map((harm, i) => [harm ?? -Infinity, i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]).map(([, i]) => i);
  }

  function view(each, group) {
    const frame = make("div", { class: "compare" });
    const stage = make("div", { class: "stage", tabindex: 0, role: "group", "aria-label": "Control and variant; left and right arrows change the prompt" });
    const caption = make("p", { class: "caption", "aria-live": "polite" });
    const position = make("input", { type: "range", min: 0, max: 100, value: 50, class: "position", "aria-label": "Control left of the line, variant right of it" });
    const flick = make("button", { type: "button" }, "Show the control");
    const running = make("button", { type: "button", "aria-pressed": "false" }, "Play");
    const modes = make("div", { class: "modes", role: "group", "aria-label": "How to compare" });
    const buttons = MODES.map(([name, label]) => make("button", { type: "button", "aria-pressed": String(name === mode), onclick: () => choose(name) }, label));
    modes.append(...buttons);
    const prompts = order(each);
    const texts = group.texts;
    const promptOf = (index) => (each.subset ? each.subset[index] : index);
    let at = 0, control = null, variant = null, timer = null, sizes = null;

    function choose(name) {
      mode = name;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(MODES[i][0] === name)));
      draw();
    }
    function stop() { clearInterval(timer); timer = null; running.setAttribute("aria-pressed", "false"); running.textContent = "Play"; }
    function flicker() {
      const hidden = variant.style.visibility === "hidden";
      variant.style.visibility = hidden ? "visible" : "hidden";
      flick.textContent = hidden ? "Show the control" : "Show the variant";
      stage.dataset.shown = hidden ? "variant" : "control";
    }
    flick.addEventListener("click", () => { stop(); flicker(); });
    running.addEventListener("click", () => {
      if (timer) { stop(); return; }
      timer = setInterval(() => (stage.isConnected ? flicker() : stop()), 600); // below three flashes a second
      running.setAttribute("aria-pressed", "true"); running.textContent = "Pause";
    });
    function slide() {
      variant.style.clipPath = `inset(0 0 0 ${position.value}%)`;
      stage.style.setProperty("--at", `${position.value}%`);
    }
    position.addEventListener("input", slide);
    stage.addEventListener("pointermove", (event) => {
      if (mode !== "slider" || !(event.buttons & 1 || event.pointerType === "mouse")) return;
      const box = stage.getBoundingClientRect();
      position.value = (100 * (event.clientX - box.left)) / box.width;
      slide();
    });

    function draw() {
      stop();
      const index = prompts[at], prompt = promptOf(index);
      const text = texts[prompt] ?? "";
      const harm = each.prompts?.[index];
      const said = `#${prompt + 1}${harm === null || harm === undefined ? "" : `, harm ${harm.toFixed(2)} sd`}`;
      caption.replaceChildren(make("strong", {}, said), " ", text);
      [...list.children].forEach((item) => item.firstChild.setAttribute("aria-current", String(item.dataset.at === String(at))));
      if (!sizes) return;
      control = tile(each.pictures.control, texts.length || each.prompts.length, prompt, sizes[0]);
      variant = tile(each.pictures.sheet, each.prompts.length, index, sizes[1]);
      for (const [element, name] of [[control, "control"], [variant, "variant"]]) {
        element.setAttribute("role", "img");
        element.setAttribute("aria-label", `${name}: ${text || said}`);
        element.dataset.label = name;
      }
      stage.dataset.mode = mode;
      stage.dataset.prompt = prompt;
      stage.dataset.shown = "variant";
      stage.replaceChildren(control, variant);
      position.hidden = mode !== "slider";
      flick.hidden = running.hidden = mode !== "flicker";
      flick.textContent = "Show the control";
      if (mode === "slider") slide();
    }
    function go(step) {
      at = (at + step + prompts.length) % prompts.length;
      draw();
    }
    frame.addEventListener("keydown", (event) => {
      if (event.target === position || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowRight") go(1);
      else if (event.key === "ArrowLeft") go(-1);
      else if (event.key === "f" && mode === "flicker") { stop(); flicker(); }
      else return;
      event.preventDefault();
    });

    const list = make("ol", { class: "prompts" });
    const most = Math.max(1e-9, ...(each.prompts ?? []).map((harm) => harm ?? 0));
    const item = (place) => {
      const index = prompts[place], prompt = promptOf(index), harm = each.prompts[index];
      return make("li", { "data-at": place }, make("button", { type: "button", class: "prompt", onclick: () => { at = place; draw(); } },
        make("span", { class: "mono soft" }, `#${prompt + 1}`),
        make("span", { class: "harmbar", style: `--share: ${Math.max(0, Math.min(1, (harm ?? 0) / most))}` }, make("span", {}, harm === null ? "-" : harm.toFixed(1))),
        make("span", { class: "text" }, texts[prompt] ?? "")));
    };
    const more = make("button", { type: "button", class: "quiet" });
    function fill(count) {
      for (let place = list.children.length; place < Math.min(count, prompts.length); place += 1) list.append(item(place));
      more.hidden = list.children.length >= prompts.length;
      more.textContent = `Show all ${prompts.length} prompts`;
    }
    more.addEventListener("click", () => { fill(Infinity); draw(); });
    fill(64);

    const tools = make("div", { class: "tools" }, modes, position, flick, running,
      make("button", { type: "button", onclick: () => go(-1), "aria-label": "Prompt before" }, "\u2190"),
      make("button", { type: "button", onclick: () => go(1), "aria-label": "Next prompt" }, "\u2192"));
    const beside = make("div", { class: "list", tabindex: 0, role: "group", "aria-label": "Prompts, the highest harm first" }, make("p", { class: "small soft" }, "Prompts, the highest harm first [sd]"), list, more);
    const left = make("div", {}, tools, stage, caption);
    frame.append(left, beside);
    draw();
    if (each.pictures.sheet) {
      stage.append(make("p", { class: "soft" }, "Loading the pictures ..."));
      Promise.all([loaded(each.pictures.control), loaded(each.pictures.sheet)]).then((both) => { sizes = both; draw(); },
        (error) => { tools.hidden = true; stage.replaceChildren(make("p", { class: "failed" }, `${error.message}; keep the folder images/ with it.`)); });
    } else {
      tools.hidden = true;
      stage.replaceChildren(...fallback(each));
      stage.dataset.mode = "picture";
    }
    return frame;
  }

  // Runs of earlier versions, and those whose pictures were not kept, have a picture of the worst prompts at most.
  function fallback(each) {
    const name = each.pictures.prompts ?? each.pictures.strip;
    if (!name) return [make("p", { class: "soft" }, "No pictures of this case are beside the page.")];
    return [make("img", { src: file("images", name), loading: "lazy", alt: "Control beside variant: the prompts with the highest harm", class: "whole" })];
  }

  return { view, fallback };
})();
