// Pictures of many small cells: the adjacency matrix, and heat by layer and time.

function raster(cell, image, ratio, alt) {
  const frame = html("div", "raster", cell);
  frame.style.aspectRatio = String(ratio);
  const picture = html("img", "", frame);
  picture.alt = alt;
  picture.src = image;
  const overlay = svg("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none" }, frame);
  const box = svg("rect", { class: "box", visibility: "hidden" }, overlay);
  const mark = (x0, y0, x1, y1) => {
    for (const [key, value] of Object.entries({ x: x0, y: y0, width: Math.max(x1 - x0, 2), height: Math.max(y1 - y0, 2), visibility: "visible" })) box.setAttribute(key, value);
  };
  return { frame, overlay, mark, clear: () => box.setAttribute("visibility", "hidden") };
}

function share(event, frame) {
  const rect = frame.getBoundingClientRect();
  return [(event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height];
}

DRAW.adjacency = (canvas, spec, figure) => panelsOf(canvas, spec.panels, "wide", (cell, panel) => {
  const groups = spec.groups, n = panel.nodes;
  const { frame, overlay, mark, clear } = raster(cell, panel.image, 1, `${panel.title}, as a picture of ${n} by ${n} channels`);
  frame.querySelector("img").style.imageRendering = panel.pixels >= 500 ? "auto" : "pixelated";
  for (const group of groups.slice(1)) {
    if (group.stop - group.start < n / 120) continue; // rules closer than that would be all there is to see
    const at = (1000 * group.start) / n;
    svg("line", { x1: at, x2: at, y1: 0, y2: 1000, class: "rule" }, overlay);
    svg("line", { x1: 0, x2: 1000, y1: at, y2: at, class: "rule" }, overlay);
  }
  const known = new Map();
  for (const [source, target, edges, kind] of panel.cells) {
    for (const key of new Set([`${source},${target}`, `${target},${source}`])) {
      const old = known.get(key);
      known.set(key, old ? { ...old, edges: old.edges + edges, kind: `${old.kind}, ${kind}` } : { source, target, edges, kind });
    }
  }
  const stops = [...new Map([...known.values()].map((c) => [`${c.target},${c.source}`, c])).values()];
  const groupAt = (position) => groups.findIndex((g) => position >= g.start && position < g.stop);
  const tell = (row, column) => {
    const [a, b] = [groups[row], groups[column]], size = (g) => g.stop - g.start;
    mark((1000 * b.start) / n, (1000 * a.start) / n, (1000 * b.stop) / n, (1000 * a.stop) / n);
    const rect = frame.getBoundingClientRect(), found = known.get(`${row},${column}`);
    const lines = found
      ? [found.kind, `${show(found.edges)} of ${show(size(a) * size(b))} pairs connected (${show((100 * found.edges) / (size(a) * size(b)))} %)`]
      : ["not connected directly"];
    const title = found ? `${groups[found.source].name} → ${groups[found.target].name}` : `${a.name} and ${b.name}`;
    return [rect.left + (rect.width * b.start) / n, rect.top + (rect.height * a.stop) / n, title, lines];
  };
  const total = groups.length ** 2;
  const at = (event) => {
    const [x, y] = share(event, frame).map((v) => groupAt(Math.min(n - 1, Math.max(0, Math.floor(v * n)))));
    return total + y * groups.length + x;
  };
  // the keyboard visits what is connected, the pointer whatever it is over
  const choose = (i) => (i >= total ? tell(Math.floor((i - total) / groups.length), (i - total) % groups.length) : tell(stops[i].target, stops[i].source));
  explorableRaster(frame, `${figure.title}, ${panel.title}`, stops.length, 2 * total, at, choose, clear);
});

function explorableRaster(frame, label, stops, all, at, choose, clear) {
  let last = -1;
  explorable(frame, label, all, at, choose, clear, {});
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step || !stops) return;
    event.preventDefault();
    last = Math.max(0, Math.min(stops - 1, last + step));
    showTip(...choose(last));
  });
}

DRAW.warmth = (canvas, spec, figure) => panelsOf(canvas, spec.panels, "wide", (cell, panel) => {
  const rows = spec.groups.length, columns = spec.x.length, height = Math.max(150, Math.min(rows * 8, 380));
  const named = html("div", "named", cell);
  const { frame, mark, clear } = raster(named, panel.image, 1, `${panel.title}: heat by layer and time`);
  frame.style.aspectRatio = "auto";
  frame.style.height = `${height}px`;
  const ends = svg("svg", { viewBox: `0 0 ${Math.max(cell.clientWidth, 200)} 34` }, cell), width = Math.max(cell.clientWidth, 200);
  const x = scale([spec.x[0], spec.x.at(-1)], [width / columns / 2, width - width / columns / 2], true);
  for (const t of x.ticks) {
    const anchor = x(t) < 20 ? "start" : x(t) > width - 20 ? "end" : "middle";
    svg("text", { x: anchor === "start" ? 0 : anchor === "end" ? width : x(t), y: 14, "text-anchor": anchor }, ends, x.label(t));
  }
  svg("text", { x: width, y: 30, "text-anchor": "end" }, ends, spec.xTitle);
  svg("text", { x: 0, y: 30 }, ends, "layers: input on top");
  const tell = (row, column) => {
    mark((1000 * column) / columns, (1000 * row) / rows, (1000 * (column + 1)) / columns, (1000 * (row + 1)) / rows);
    const v = panel.values[row][column], rect = frame.getBoundingClientRect();
    const share = v >= 1 ? Infinity : (1 + v) / (1 - v);
    const text = Number.isFinite(share) ? `${show(Number((100 * share).toPrecision(3)))} % of its final heat` : "all heat is here";
    return [rect.left + (rect.width * column) / columns, rect.top + (rect.height * (row + 1)) / rows, `${spec.groups[row]} at ${show(spec.x[column])} t*`, [text]];
  };
  const at = (event) => {
    const [a, b] = share(event, frame);
    const column = Math.min(columns - 1, Math.max(0, Math.floor(a * columns))), row = Math.min(rows - 1, Math.max(0, Math.floor(b * rows)));
    return row * columns + column;
  };
  const choose = (i) => tell(Math.floor(i / columns), i % columns);
  explorable(frame, `${figure.title}, ${panel.title}`, rows * columns, at, choose, clear, { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns });
});
