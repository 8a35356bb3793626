// Puts the page together, and keeps its address in step: a link leads to a case, a filter, an order.
(() => {
  const known = () => new URLSearchParams(location.hash.replace(/^#/, ""));
  const shown = document.getElementById("variants") !== null; // it is not where claims are all that was tested
  let current = null;

  function open(number) {
    const parameters = new URLSearchParams();
    variants.toAddress(parameters);
    for (const [name, value] of new URLSearchParams(variants.address(number))) parameters.set(name, value);
    location.hash = parameters.toString();
  }

  function replace(parameters) {
    const text = parameters.toString();
    history.replaceState(null, "", text ? `#${text}` : "#variants");
  }

  // An address without "=" names a section, which the browser goes to by itself.
  function follow() {
    if (!shown) return;
    if (location.hash && !location.hash.includes("=")) { close(); return; }
    const parameters = known();
    const name = parameters.get("case");
    if ([...parameters.keys()].some((key) => key !== "case")) variants.fromAddress(parameters);
    const number = name === null ? undefined : variants.numberOf(name);
    if (number === undefined) close();
    else if (number !== current || !cases.dialog.open) {
      current = number;
      cases.open(number, open);
      for (const [id, step] of [["case-previous", -1], ["case-next", 1]]) document.getElementById(id).disabled = variants.beside(number, step) === null;
    }
  }

  function close() { if (cases.dialog.open) { current = null; cases.dialog.close(); } }

  function closed() {
    const number = current;
    current = null;
    const parameters = new URLSearchParams();
    variants.toAddress(parameters);
    if (known().has("case")) replace(parameters);
    document.querySelector(`a[data-case="${number}"]`)?.focus({ preventScroll: true });
  }

  sections.verdict();
  if (shown) {
    variants.start(() => {
      const parameters = new URLSearchParams();
      variants.toAddress(parameters);
      replace(parameters);
    });
    sections.speed(open);
    sections.blocks(open);
    sections.tasks();
  }
  sections.findings();
  sections.analyses();
  sections.environment();

  document.getElementById("case-close").addEventListener("click", () => cases.dialog.close());
  document.getElementById("case-previous").addEventListener("click", () => go(-1));
  document.getElementById("case-next").addEventListener("click", () => go(1));
  cases.dialog.addEventListener("close", closed);
  cases.dialog.addEventListener("click", (event) => { if (event.target === cases.dialog) cases.dialog.close(); });
  cases.dialog.addEventListener("keydown", (event) => {
    if (event.key === "j") go(1);
    if (event.key === "k") go(-1);
  });
  function go(step) {
    const number = variants.beside(current, step);
    if (number !== null) open(number);
  }
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => document.querySelectorAll(".chart").forEach((chart) => chart.force?.()));
  follow();
  document.documentElement.dataset.ready = "yes";
})();
