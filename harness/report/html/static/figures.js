// Every figure of the page, each drawn when it comes near the screen.
for (const element of document.querySelectorAll("[data-figure]")) {
  const { data, layout, config } = page.data[Number(element.dataset.figure)];
  element.style.minHeight = `${layout.height ?? 320}px`;
  page.chart(element, () => ({ data, layout, config, whole: true }));
}
addEventListener("beforeprint", () => document.querySelectorAll("[data-figure]").forEach((element) => element.force()));
