"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  const text = document.getElementById("find");
  if (!text) return;
  const model = document.getElementById("model"), dataset = document.getElementById("dataset");
  const kind = document.getElementById("kind"), shown = document.getElementById("shown");
  const samples = [...document.querySelectorAll(".sample")];
  const update = () => {
    const wanted = text.value.toLowerCase();
    let count = 0;
    for (const sample of samples) {
      const data = sample.dataset;
      sample.hidden = !(data.text.includes(wanted) && (!model.value || data.model === model.value)
        && (!dataset.value || data.dataset === dataset.value) && (!kind.value || data.kind === kind.value));
      count += !sample.hidden;
    }
    shown.textContent = `${count} of ${samples.length}`;
  };
  for (const control of [text, model, dataset, kind]) control.addEventListener("input", update);
  update();
})();
