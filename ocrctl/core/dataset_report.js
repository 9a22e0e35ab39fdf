"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const codes = ["", ...new Set(data.items.map((item) => item.code))];
let code = "", place = 0;
const shown = () => data.items.filter((item) => !code || item.code === code);
const svg = (name, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};
function draw() {
  const items = shown(), item = items[place];
  for (const row of document.querySelectorAll("tr[data-code]")) row.classList.toggle("chosen", row.dataset.code === code);
  document.getElementById("count").textContent = items.length ? `${place + 1} of ${items.length}` : "nothing found";
  const stage = document.getElementById("stage");
  stage.replaceChildren();
  document.getElementById("message").textContent = item ? `${item.code} ${item.name}: ${item.message}` : "";
  document.getElementById("where").textContent = item ? item.where + (item.text ? `   “${item.text}”` : "") : "";
  const picture = item && data.pictures[item.image];
  if (!picture) return;
  const xs = item.points.map((p) => p[0]), ys = item.points.map((p) => p[1]);
  const left = Math.max(-picture.width, Math.min(0, ...xs)), top = Math.max(-picture.height, Math.min(0, ...ys));
  const right = Math.min(2 * picture.width, Math.max(picture.width, ...xs));
  const bottom = Math.min(2 * picture.height, Math.max(picture.height, ...ys));
  const root = svg("svg", { viewBox: `${left} ${top} ${right - left} ${bottom - top}` });
  const frame = { x: 0, y: 0, width: picture.width, height: picture.height };
  if (picture.src) root.append(svg("image", { href: picture.src, preserveAspectRatio: "none", ...frame }));
  root.append(svg("rect", frame));
  if (item.points.length) {
    root.append(svg("polygon", { points: item.points.map((p) => p.join(",")).join(" ") }));
    root.append(svg("circle", { cx: xs[0], cy: ys[0], r: Math.max(2, (right - left) / 250) }));
  }
  stage.append(root);
}
function move(step) {
  const count = shown().length;
  if (count) place = (place + step + count) % count;
  draw();
}
function choose(next) { code = next; place = 0; draw(); }
document.getElementById("previous").onclick = () => move(-1);
document.getElementById("next").onclick = () => move(1);
for (const row of document.querySelectorAll("tr[data-code]")) row.onclick = () => choose(row.dataset.code);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  const jump = { "]": 1, "[": -1 }[event.key];
  if (step) move(step);
  if (jump) choose(codes[(codes.indexOf(code) + jump + codes.length) % codes.length]);
});
draw();
