"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const codes = ["", ...new Set(data.items.map((item) => item.code))];
const kinds = { hit: "this polygon", other: "the one it is compared with", word: "polygons of the image", ignored: "ignored" };
let code = "", place = 0, zoomed = true;
const shown = () => data.items.filter((item) => !code || item.code === code);
const element = (id) => document.getElementById(id);
const svg = (name, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
// The whole image, extended to polygons outside of it, at most four times its size.
function wholeOf(image, shapes) {
  const points = shapes.flatMap((shape) => shape.points);
  const reach = (axis, size) => {
    const values = points.map((point) => point[axis]);
    const low = Math.max(-4 * size, values.reduce((a, b) => Math.min(a, b), 0));
    return [low, Math.min(5 * size, values.reduce((a, b) => Math.max(a, b), size)) - low];
  };
  const [left, width] = reach(0, image.width), [top, height] = reach(1, image.height);
  return [left, top, width, height];
}
function drawing(image, shapes, box, crop, mark) {
  const root = svg("svg", { viewBox: box.join(" "), role: "img" });
  const frame = { x: 0, y: 0, width: image.width, height: image.height };
  if (image.src) root.append(svg("image", { href: image.src, preserveAspectRatio: "none", ...frame }));
  if (crop) {
    const { src, ...where } = crop;
    root.append(svg("image", { href: src, preserveAspectRatio: "none", ...where }));
  }
  root.append(svg("rect", { class: "frame", ...frame }));
  const corners = (shape) => shape.points.map((point) => point.join(",")).join(" ");
  for (const shape of shapes) root.append(svg("polygon", { class: "rim", points: corners(shape) }));
  for (const shape of shapes) {
    const title = svg("title", {});
    title.textContent = shape.text;
    root.append(svg("polygon", { class: shape.kind, points: corners(shape) }, title));
    const [x, y] = shape.points[0];
    if (shape.kind === "hit" && !mark) root.append(svg("circle", { cx: x, cy: y, r: Math.max(box[2], box[3]) / 160 }));
  }
  if (mark) root.append(svg("rect", { class: "mark", x: mark[0], y: mark[1], width: mark[2], height: mark[3] }));
  return root;
}
function figure(kind, caption, content) {
  const node = document.createElement("figure");
  const text = document.createElement("figcaption");
  node.className = kind;
  text.textContent = caption;
  node.append(content, text);
  return node;
}
function draw() {
  const items = shown(), item = items[place];
  for (const row of document.querySelectorAll("tr[data-code]")) row.classList.toggle("chosen", row.dataset.code === code);
  element("count").textContent = items.length ? `${place + 1} of ${items.length}` : "Nothing was found.";
  element("message").textContent = item ? `${item.code} ${item.name}: ${item.message}` : "";
  element("where").textContent = item ? item.where : "";
  element("text").textContent = item && item.text ? `Text: “${item.text}”` : "";
  element("zoom").hidden = !(item && item.view);
  element("zoom").textContent = zoomed ? "Whole image" : "Zoom to the finding";
  element("legend").replaceChildren(...[...new Set(item ? item.shapes.map((shape) => shape.kind) : [])].map((kind) => {
    const node = document.createElement("span");
    node.className = kind;
    node.textContent = kinds[kind];
    return node;
  }));
  const stage = element("stage");
  stage.replaceChildren();
  if (!item) return;
  const image = data.images[item.image];
  if (!image) {
    stage.append(`The image is not in this report, which has the first ${Object.keys(data.images).length}.`);
    return;
  }
  const whole = wholeOf(image, item.shapes), close = zoomed && item.view;
  const main = drawing(image, item.shapes, close || whole, close && item.crop, null);
  const within = ([x, y]) => x >= whole[0] && x <= whole[0] + whole[2] && y >= whole[1] && y <= whole[1] + whole[3];
  const seen = !item.shapes.length || item.shapes.some((shape) => shape.points.some(within));
  const broken = !image.src ? "The image cannot be read." : seen ? "" : "The polygon lies far outside of this view.";
  stage.append(figure("main", broken, main));
  if (close) {
    const small = figure("aside", "The whole image", drawing(image, item.shapes, whole, null, item.view));
    small.onclick = toggle;
    stage.append(small);
  }
  const beside = data.images[item.beside];
  if (beside) stage.append(figure("main", "The image it is compared with", drawing(beside, [], wholeOf(beside, []), null, null)));
}
function move(step) {
  const count = shown().length;
  if (count) place = (place + step + count) % count;
  draw();
}
function choose(next) { code = next; place = 0; draw(); }
function toggle() { zoomed = !zoomed; draw(); }
element("previous").onclick = () => move(-1);
element("next").onclick = () => move(1);
element("zoom").onclick = toggle;
for (const row of document.querySelectorAll("tr[data-code]")) row.onclick = () => choose(row.dataset.code);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
  const jump = { "]": 1, "[": -1 }[event.key];
  if (step) move(step);
  if (jump) choose(codes[(codes.indexOf(code) + jump + codes.length) % codes.length]);
  if (event.key === "z") toggle();
});
// report.html#P021 opens the first finding of a code, report.html#P021.3 the third.
const [asked, number] = decodeURIComponent(location.hash.slice(1)).split(".");
if (codes.includes(asked)) { code = asked; place = Math.min(Math.max(1, Number(number) || 1), shown().length) - 1; }
draw();
