"use strict";
// Elements, scales, numbers, and the one tooltip: what every figure needs.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, parent = null, text = null) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function html(name, className = "", parent = null, text = null) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

const superscript = (power) => String(power).replace(/[-0-9]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

function show(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e5)) return value.toLocaleString("en", { maximumSignificantDigits: size >= 1000 ? 6 : 4 });
  if (Number.isInteger(value) && size < 1e12) return value.toLocaleString("en");
  const power = Math.floor(Math.log10(size));
  return `${(value / 10 ** power).toPrecision(3)}·10${superscript(power)}`;
}

const decade = (power) => (power >= -3 && power <= 4 ? (10 ** power).toLocaleString("en", { maximumFractionDigits: 3 }) : `10${superscript(power)}`);

function logLabel(value) {
  const power = Math.floor(Math.log10(value) + 1e-9), digit = Math.round(value / 10 ** power);
  return digit === 1 ? decade(power) : power >= -4 && power <= 4 ? show(Number(value.toPrecision(1))) : `${digit}·${decade(power)}`;
}

function scale(domain, range, log) {
  const f = log ? Math.log10 : (v) => v;
  const [a, b] = [f(domain[0]), f(domain[1])];
  const to = (v) => range[0] + ((f(v) - a) / (b - a || 1)) * (range[1] - range[0]);
  return Object.assign(to, { ticks: log ? decades(a, b) : even(a, b), label: log ? logLabel : show });
}

function decades(a, b) {
  const powers = [];
  for (let p = Math.ceil(a - 1e-9); p <= b + 1e-9; p++) powers.push(p);
  if (powers.length < 3) return [-1, 0, 1, 2].flatMap((p) => [1, 2, 5].map((m) => m * 10 ** (Math.floor(a) + p))).filter((v) => Math.log10(v) >= a && Math.log10(v) <= b);
  const step = Math.ceil(powers.length / 7);
  return powers.filter((p) => p % step === 0).map((p) => 10 ** p);
}

function even(a, b) {
  const raw = (b - a) / 4 || 1, unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw - 1e-12);
  const ticks = [];
  for (let v = Math.ceil(a / step - 1e-9) * step; v <= b + step * 1e-6; v += step) ticks.push(Number(v.toPrecision(12)));
  return ticks;
}

const measure = document.createElement("canvas").getContext("2d");
function widthOf(text) {
  measure.font = "12px system-ui, sans-serif";
  return measure.measureText(text).width;
}

// The ticks whose labels do not run into each other, from the left.
function apart(x) {
  let end = -Infinity;
  return x.ticks.filter((t) => {
    const half = widthOf(x.label(t)) / 2;
    if (x(t) - half < end + 8) return false;
    end = x(t) + half;
    return true;
  });
}

function shorten(text, width) {
  if (widthOf(text) <= width) return text;
  let keep = text.length;
  while (keep > 3 && widthOf(`…${text.slice(-keep)}`) > width) keep--;
  return `…${text.slice(-keep)}`; // the end of a layer's name tells it from its neighbours
}

const tip = document.getElementById("tip");
function showTip(x, y, title, lines) {
  tip.replaceChildren();
  html("b", "", tip, title);
  for (const line of lines) html("span", "", tip, line);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(8, y - box.height - 12) : y + 18}px`;
}
function hideTip() {
  tip.hidden = true;
}

// Pointer and keyboard alike choose one of `count` places; `at(event)` finds the pointer's, `choose(i)` marks it and
// returns where the tooltip belongs (client coordinates), its title and its lines.
function explorable(node, label, count, at, choose, clear, steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }) {
  let current = -1;
  const go = (index) => {
    current = index;
    const [x, y, title, lines] = choose(index);
    showTip(x, y, title, lines);
  };
  const leave = () => {
    clear();
    hideTip();
  };
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "application");
  node.setAttribute("aria-label", `${label}. Arrow keys show values.`);
  node.addEventListener("pointermove", (event) => {
    const index = at(event);
    if (index >= 0 && index < count) go(index);
    else leave();
  });
  node.addEventListener("pointerleave", leave);
  node.addEventListener("blur", leave);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return leave();
    const step = event.key === "Home" ? -count : event.key === "End" ? count : steps[event.key];
    if (step === undefined || !count) return;
    event.preventDefault();
    go(Math.max(0, Math.min(count - 1, current < 0 ? 0 : current + step)));
  });
}
