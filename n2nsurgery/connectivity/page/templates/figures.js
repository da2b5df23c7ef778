// Figures of lines, bars, dots and arcs, drawn to the width that there is.

const DRAW = {};

function panelsOf(canvas, panels, className, draw) {
  const grid = html("div", panels.length > 1 ? `panels ${className}` : "", canvas);
  const cells = panels.map((panel) => {
    const cell = html("div", "", grid);
    if (panel.title) html("h4", "", cell, panel.title);
    return cell;
  });
  panels.forEach((panel, index) => draw(cells[index], panel));
}

DRAW.lines = (canvas, spec, figure) => panelsOf(canvas, spec.panels, "", (cell, panel) => lines(cell, panel, figure, spec.panels.length > 1));

let clips = 0;
function lines(cell, panel, figure, small) {
  const width = Math.max(cell.clientWidth, 200), height = small ? 160 : 300;
  const box = { left: 50, right: width - 12, top: 26, bottom: height - 42 };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}` }, cell);
  const x = scale([panel.x[0], panel.x.at(-1)], [box.left, box.right], true);
  const y = scale(panel.domain, [box.bottom, box.top], panel.log);
  for (const t of y.ticks) {
    svg("line", { x1: box.left, x2: box.right, y1: y(t), y2: y(t), class: "grid" }, root);
    svg("text", { x: box.left - 7, y: y(t) + 4, "text-anchor": "end" }, root, y.label(t));
  }
  apart(x).forEach((t) => {
    svg("line", { x1: x(t), x2: x(t), y1: box.bottom, y2: box.bottom + 4, class: "axis" }, root);
    svg("text", { x: x(t), y: box.bottom + 18, "text-anchor": "middle" }, root, x.label(t));
  });
  svg("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "axis" }, root);
  svg("text", { x: box.right, y: height - 6, "text-anchor": "end" }, root, panel.xTitle);
  svg("text", { x: 0, y: 12 }, root, panel.yTitle);
  for (const mark of panel.marks || []) {
    svg("line", { x1: x(mark.x), x2: x(mark.x), y1: box.top, y2: box.bottom, class: "mark" }, root);
    svg("text", { x: x(mark.x) - 4, y: box.bottom - 7, "text-anchor": "end", class: "halo" }, root, mark.label);
  }
  for (const level of panel.levels || []) {
    svg("line", { x1: box.left, x2: box.right, y1: y(level.y), y2: y(level.y), class: "mark" }, root);
    svg("text", { x: box.left + 5, y: y(level.y) - 4, class: "halo" }, root, level.label);
  }
  const place = (v) => Math.max(box.top, Math.min(box.bottom, y(panel.log ? Math.max(v, panel.domain[0]) : v)));
  const clip = svg("clipPath", { id: `clip-${++clips}` }, root);
  svg("rect", { x: box.left, y: box.top - 2, width: box.right - box.left, height: box.bottom - box.top + 3 }, clip);
  const beyond = (v) => y(panel.log ? Math.max(v, panel.domain[0] / 1e6) : v); // cut off by the clip, not bent
  for (const line of [...panel.series].reverse()) {
    let path = "", pen = "M";
    line.values.forEach((v, i) => {
      if (v === null) return void (pen = "M");
      path += `${pen}${x(panel.x[i]).toFixed(1)} ${beyond(v).toFixed(1)}`;
      pen = "L";
    });
    svg("path", { d: path, class: `s-${line.colour} line`, "stroke-width": 2, "stroke-linejoin": "round", "stroke-linecap": "round", "clip-path": `url(#clip-${clips})` }, root);
  }
  const cross = svg("line", { y1: box.top, y2: box.bottom, class: "cross", visibility: "hidden" }, root);
  const dots = panel.series.map((line) => svg("circle", { r: 4, class: `f-${line.colour}`, visibility: "hidden" }, root));
  const hit = svg("rect", { x: box.left, y: 0, width: box.right - box.left, height: box.bottom, class: "hit" }, root);
  const rect = () => root.getBoundingClientRect();
  const at = (event) => {
    const px = ((event.clientX - rect().left) / rect().width) * width;
    let best = 0;
    panel.x.forEach((v, i) => (best = Math.abs(x(v) - px) < Math.abs(x(panel.x[best]) - px) ? i : best));
    return best;
  };
  const choose = (i) => {
    const px = x(panel.x[i]);
    cross.setAttribute("x1", px);
    cross.setAttribute("x2", px);
    cross.setAttribute("visibility", "visible");
    dots.forEach((dot, s) => {
      const v = panel.series[s].values[i];
      dot.setAttribute("visibility", v === null ? "hidden" : "visible");
      if (v !== null) {
        dot.setAttribute("cx", px);
        dot.setAttribute("cy", place(v));
      }
    });
    const zoom = rect().width / width;
    return [rect().left + px * zoom, rect().top + box.top * zoom, `t = ${show(panel.x[i])} t*`, panel.series.map((s) => `${s.name}: ${show(s.values[i])}`)];
  };
  explorable(root, figure.title, panel.x.length, at, choose, () => [cross, ...dots].forEach((n) => n.setAttribute("visibility", "hidden")));
  hit.setAttribute("aria-hidden", "true");
}

// Long lists stand in two columns where there is room, with the same scale in both.
function columnsOf(canvas, rows, draw) {
  const split = canvas.clientWidth > 600 && rows.length > 16 ? Math.ceil(rows.length / 2) : rows.length;
  const parts = rows.length > split ? [rows.slice(0, split), rows.slice(split)] : [rows];
  panelsOf(canvas, parts, "wide", draw);
}

// Rows of names with a mark each: bars from 0, or pairs of dots.
function rowsOf(canvas, figure, rows, pitch, xTitle, domain, log, mark, describe) {
  if (!rows.length) return void html("p", "", canvas, "Nothing to draw.");
  const width = Math.max(canvas.clientWidth, 220);
  const left = Math.min(Math.max(...rows.map((r) => widthOf(r.label))) + 12, width * 0.45);
  const height = rows.length * pitch + 44;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}` }, canvas);
  const x = scale(domain, [left, width - (log ? 14 : 56)], log);
  const bottom = rows.length * pitch + 4;
  const chosen = svg("rect", { x: 0, width, height: pitch, class: "chosen", visibility: "hidden" }, root);
  for (const t of x.ticks) svg("line", { x1: x(t), x2: x(t), y1: 0, y2: bottom, class: "grid" }, root);
  for (const t of apart(x)) svg("text", { x: x(t), y: bottom + 15, "text-anchor": "middle" }, root, x.label(t));
  rows.forEach((row, i) => {
    const y = i * pitch + pitch / 2 + 2;
    svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: "strong" }, root, shorten(row.label, left - 10));
    mark(root, row, x, y, left);
  });
  svg("text", { x: width, y: height - 6, "text-anchor": "end" }, root, xTitle);
  const rect = () => root.getBoundingClientRect();
  const at = (event) => Math.floor((((event.clientY - rect().top) / rect().height) * height - 2) / pitch);
  const choose = (i) => {
    chosen.setAttribute("y", i * pitch + 2);
    chosen.setAttribute("visibility", "visible");
    const zoom = rect().width / width;
    return [rect().left + left * zoom, rect().top + (i + 1) * pitch * zoom, rows[i].label, describe(rows[i])];
  };
  explorable(root, figure.title, rows.length, at, choose, () => chosen.setAttribute("visibility", "hidden"));
}

DRAW.bars = (canvas, spec, figure) => {
  const most = Math.max(...spec.bars.map((b) => b.value), 1e-9), least = Math.min(0, ...spec.bars.map((b) => b.value));
  const colour = { dead: "dead", identity: "reference", layer: "subject", beside: "subject" };
  columnsOf(canvas, spec.bars, (cell, bars) => rowsOf(cell, figure, bars, 22, spec.x, [least, spec.most && most > spec.most / 2 ? spec.most : most * 1.02], false, (root, bar, x, y) => {
    const [a, b] = [x(Math.min(0, bar.value)), x(Math.max(0, bar.value))];
    svg("path", { d: `M${a} ${y - 7}H${b - 2}q2 0 2 2V${y + 5}q0 2 -2 2H${a}Z`, class: `f-${colour[bar.kind] || "skip"} bar` }, root);
    svg("text", { x: b + 5, y: y + 4, class: "halo" }, root, `${show(Number(bar.value.toPrecision(3)))} %`);
  }, (bar) => [`${show(bar.value)} %`, bar.note || bar.kind]));
};

DRAW.dots = (canvas, spec, figure) => {
  const values = spec.dots.flatMap((d) => [d.from, d.to]).filter((v) => v > 0);
  const low = Math.min(...values, 100), high = Math.max(...values, low * 10);
  const floor = low / 2;
  columnsOf(canvas, spec.dots, (cell, dots) => rowsOf(cell, figure, dots, 18, spec.x, [floor, Math.min(100, high * 1.2)], true, (root, d, x, y, left) => {
    const [a, b] = [d.from > 0 ? x(d.from) : left, d.to > 0 ? x(d.to) : left];
    svg("line", { x1: left, x2: a, y1: y, y2: y, class: "grid" }, root);
    svg("line", { x1: a, x2: b, y1: y, y2: y, class: "s-subject", "stroke-width": 2 }, root);
    if (d.from > 0) svg("circle", { cx: a, cy: y, r: 5.5, class: "s-subject dot", "stroke-width": 1.5 }, root);
    if (d.to > 0) svg("circle", { cx: b, cy: y, r: 3.5, class: "f-subject dot" }, root);
    else svg("path", { d: `M${left - 4} ${y - 4}l8 8m0 -8l-8 8`, class: "s-dead dot", "stroke-width": 2 }, root);
  }, (d) => [`${spec.from} ${show(d.from)} %`, `${spec.to} ${show(d.to)} %`, `${show(d.kept)} weights kept`]));
};

// The layers on a line, and an arc for everything that leads around some of them: a horizontal line where there is room
// for all names, else a vertical one. Skips stand on one side, identity edges and parallel layers on the other, or lower.
DRAW.arcs = (canvas, spec, figure) => {
  const width = Math.max(canvas.clientWidth, 220), plan = spec.groups.length * 15 <= width - 60 ? across(spec, width) : down(spec, width);
  const root = svg("svg", { viewBox: `0 0 ${width} ${plan.height}` }, canvas);
  spec.groups.forEach((name, i) => plan.label(root, name, i));
  const last = spec.groups.length - 1, [from, to] = [plan.at(0, 0, 1), plan.at(last, 0, 1)];
  svg("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "axis", "stroke-width": 2 }, root);
  const heaviest = Math.max(...spec.arcs.map((arc) => arc.weights), 1);
  const colour = { identity: "reference", beside: "subject" };
  const bulge = (span) => 0.25 + 0.75 * Math.sqrt(Math.max(span, 0.5) / plan.longest);
  const shapes = spec.arcs.flatMap((arc, index) => arc.from.map((start) => ({ index, start, end: arc.to, side: colour[arc.kind] ? -1 : 1, bulge: bulge(arc.to - start) })));
  const groups = spec.arcs.map(() => svg("g", { class: "arc" }, root));
  for (const s of shapes) {
    const arc = spec.arcs[s.index], stroke = arc.weights ? 1.2 + 3 * Math.sqrt(arc.weights / heaviest) : 1.2;
    const points = [plan.at(s.start, 0, s.side), plan.at(s.start, (4 / 3) * s.bulge, s.side), plan.at(s.end, (4 / 3) * s.bulge, s.side), plan.at(s.end, 0, s.side)];
    const [a, b, c, d] = points.map((point) => point.map((v) => v.toFixed(1)).join(" "));
    svg("path", { d: `M${a}C${b} ${c} ${d}`, class: `s-${colour[arc.kind] || "skip"}`, "stroke-width": stroke, "stroke-opacity": 0.75 }, groups[s.index]);
  }
  spec.groups.forEach((_, i) => {
    const [cx, cy] = plan.at(i, 0, 1);
    svg("circle", { cx, cy, r: 4, class: "f-surface" }, root);
    svg("circle", { cx, cy, r: 3, class: "f-reference" }, root);
  });
  const rect = () => root.getBoundingClientRect();
  const at = (event) => {
    const zoom = rect().width / width, x = (event.clientX - rect().left) / zoom, y = (event.clientY - rect().top) / zoom;
    let best = -1, least = 10;
    for (const s of shapes) {
      for (let u = 0.02; u < 1; u += 0.02) { // Bernstein: along goes as 3u^2 - 2u^3, away from the line as 4u(1 - u)
        const [px, py] = plan.at(s.start + (s.end - s.start) * (3 * u * u - 2 * u ** 3), 4 * u * (1 - u) * s.bulge, s.side);
        const off = Math.hypot(px - x, py - y);
        if (off < least) [best, least] = [s.index, off];
      }
    }
    return best;
  };
  const choose = (i) => {
    groups.forEach((group, k) => group.classList.toggle("dim", k !== i));
    const arc = spec.arcs[i], zoom = rect().width / width, [x, y] = plan.at(arc.to, 0.3, 1);
    const weights = arc.weights ? [`${show(arc.weights)} weights`] : [];
    return [rect().left + x * zoom, rect().top + y * zoom, arc.note, [arc.kind === "identity" ? "identity edges, no weights" : arc.kind, ...weights, arc.name]];
  };
  explorable(root, figure.title, spec.arcs.length, at, choose, () => groups.forEach((group) => group.classList.remove("dim")));
};

const isBeside = (arc) => arc.kind === "identity" || arc.kind === "beside";
const longestOf = (spec) => Math.max(1, ...spec.arcs.map((arc) => arc.to - Math.min(...arc.from)));

function across(spec, width) {
  const names = spec.groups, longest = longestOf(spec), tall = 70 + 18 * Math.min(longest, 10);
  const above = spec.arcs.some((arc) => !isBeside(arc)) ? tall : 12, below = spec.arcs.some(isBeside) ? tall * 0.6 : 8;
  const room = Math.max(...names.map(widthOf)) * 0.87, left = Math.min(room * 0.55, 60) + 8;
  const x = (i) => left + (i / Math.max(names.length - 1, 1)) * (width - left - 14), base = above + 6;
  return {
    longest,
    height: base + below + room + 16,
    at: (i, away, side) => [x(i), base - away * (side > 0 ? above : -below)],
    label: (root, name, i) => svg("text", { transform: `translate(${x(i) + 4} ${base + below + 12}) rotate(-60)`, "text-anchor": "end", class: "strong" }, root, name),
  };
}

function down(spec, width) {
  const names = spec.groups, longest = longestOf(spec), pitch = names.length > 30 ? 16 : 22;
  const left = Math.min(Math.max(...names.map(widthOf)) + 18, width * 0.42), room = Math.min(width - left - 16, 90 + 34 * Math.min(longest, 12));
  const y = (i) => i * pitch + pitch / 2 + 4;
  return {
    longest,
    height: names.length * pitch + 8,
    at: (i, away, side) => [left + away * room * (side > 0 ? 1 : 0.6), y(i)],
    label: (root, name, i) => svg("text", { x: left - 12, y: y(i) + 4, "text-anchor": "end", class: "strong" }, root, shorten(name, left - 13)),
  };
}
