// What every page has: the data, elements made without HTML text, dark and light, and plotly on demand.
const page = (() => {
  const holder = document.getElementById("data");
  const data = holder ? JSON.parse(holder.textContent) : null;

  // An element; a text is always a text node, so that nothing in it is read as HTML.
  function make(tag, attributes = {}, ...children) {
    const element = tag.startsWith("svg:")
      ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  // A URL of a file beside the page, from its parts; no part is a scheme, a host or a way out of the folder.
  const file = (...parts) => "./" + parts.map(encodeURIComponent).join("/");

  const colour = (name) => getComputedStyle(probe(name)).color;
  function probe(name) {
    const element = document.getElementById("probe") || document.body.appendChild(make("span", { id: "probe", hidden: true }));
    element.style.color = `var(${name})`;
    return element;
  }

  // Dark and light: the system's choice, or the reader's, which the browser remembers where it can.
  const themes = ["system", "light", "dark"];
  const listeners = [];
  const button = document.getElementById("theme");
  const remembered = () => { try { return localStorage.getItem("dit-theme"); } catch { return null; } };
  function setTheme(theme, remember) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.value = theme;
    if (remember) { try { localStorage.setItem("dit-theme", theme); } catch { /* a page from disk may keep nothing */ } }
    listeners.forEach((listener) => listener());
  }
  if (!document.documentElement.dataset.theme) { // else the page has one theme
    button.hidden = false;
    button.addEventListener("click", () => setTheme(themes[(themes.indexOf(button.value) + 1) % 3], true));
    setTheme(themes.includes(remembered()) ? remembered() : "system", false);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => listeners.forEach((listener) => listener()));

  // plotly.js is unpacked when the first figure comes near the screen.
  let library = null;
  function plotly() {
    library ??= (async () => {
      const packed = document.getElementById("plotly").textContent;
      const bytes = Uint8Array.fromBase64?.(packed) ?? Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      return globalThis.Plotly;
    })();
    return library;
  }

  // Draws a figure into an element when it comes near the screen, and again when the theme changes.
  // `figure()` gives {data, layout, config, ready, whole}; ready(element) is called after each drawing, and a layout that
  // is whole has its own colours.
  function chart(element, figure) {
    let near = false;
    async function draw() {
      try {
        const { data: traces, layout, config, ready, whole } = figure();
        const Plotly = await plotly();
        await Plotly.react(element, traces, whole ? layout : styled(layout), { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]], ...config });
        element.dataset.drawn = "yes";
        ready?.(element);
      } catch (error) {
        element.replaceChildren(make("p", { class: "failed" }, `This figure could not be drawn (${error}); it needs a browser of 2023 or later.`));
      }
    }
    const redraw = () => (near ? draw() : Promise.resolve());
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { near = true; observer.disconnect(); draw(); }
    }, { rootMargin: "600px" }).observe(element);
    listeners.push(redraw);
    element.redraw = redraw;
    element.force = () => { near = true; return draw(); };
    return redraw;
  }

  function styled(layout) {
    const ink = colour("--ink"), line = colour("--line");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: colour("--strong-line"), automargin: true };
    const out = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "inherit", size: 13 },
      margin: { l: 56, r: 16, t: 16, b: 48 }, hoverlabel: { font: { size: 13 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--ink") }, ...layout,
    };
    for (const name of Object.keys(out)) if (/^[xy]axis\d*$/.test(name)) out[name] = { ...axis, ...out[name] };
    out.xaxis ??= axis; out.yaxis ??= axis;
    return out;
  }

  return { data, make, file, colour, chart, plotly, onTheme: (listener) => listeners.push(listener) };
})();
