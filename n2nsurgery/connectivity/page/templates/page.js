// Puts the page together: figures, their tables and downloads, and the sorting of the layer table.

const DATA = JSON.parse(document.getElementById("payload").textContent);
const FIGURES = new Map(DATA.figures.map((figure) => [figure.id, figure]));

function drawAll() {
  hideTip();
  for (const canvas of document.querySelectorAll("[data-figure]")) {
    const figure = FIGURES.get(canvas.dataset.figure);
    canvas.replaceChildren();
    DRAW[figure.draw](canvas, figure.spec, figure);
  }
}

// The pictures stand in the page once, where they are seen without a script as well.
for (const canvas of document.querySelectorAll("[data-figure]")) {
  const images = canvas.querySelectorAll(".still img");
  images.forEach((image, i) => (FIGURES.get(canvas.dataset.figure).spec.panels[i].image = image.src));
}

let width = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth === width) return;
  width = document.body.clientWidth;
  requestAnimationFrame(drawAll); // drawing changes the height, which must not happen while sizes are being observed
}).observe(document.body);
width = document.body.clientWidth;
drawAll();

for (const place of document.querySelectorAll("[data-table]")) {
  place.parentElement.addEventListener("toggle", () => {
    if (place.firstChild) return;
    const figure = FIGURES.get(place.dataset.table), table = html("table", "", place);
    const head = html("tr", "", html("thead", "", table)), body = html("tbody", "", table);
    for (const column of figure.columns) html("th", "", head, column).scope = "col";
    for (const row of figure.rows) {
      const line = html("tr", "", body);
      for (const value of row) html("td", typeof value === "number" ? "number" : "", line, show(value));
    }
  });
}

function contentOf(name) {
  if (name === "report") return DATA.report;
  if (name === "layers") return DATA.report.layers;
  const { title, caption, columns, rows } = FIGURES.get(name);
  return { title, caption, columns, rows };
}

for (const link of document.querySelectorAll("[data-download]")) {
  link.addEventListener("click", () => {
    if (link.href.startsWith("blob:")) return;
    link.href = URL.createObjectURL(new Blob([JSON.stringify(contentOf(link.dataset.download), null, 2)], { type: "application/json" }));
  });
}

const table = document.getElementById("layer-table");
const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], inOrder = [...body.rows];

function keyOf(row, column) {
  const cell = row.cells[column], value = cell.dataset.value;
  if (value === undefined) return cell.textContent;
  return value === "" ? null : Number(value);
}

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
  const text = keyOf(inOrder[0] || { cells: [] }, column), first = column < 2 || typeof text === "string" ? "ascending" : "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  const wanted = head.getAttribute("aria-sort") === first ? other : first;
  heads.forEach((each) => each.setAttribute("aria-sort", each === head ? wanted : "none"));
  const sign = wanted === "ascending" ? 1 : -1;
  const sorted = [...inOrder].sort((one, two) => {
    const [a, b] = [keyOf(one, column), keyOf(two, column)];
    if (a === null || b === null) return (a === null) - (b === null); // what is unknown comes last, either way
    return sign * (a < b ? -1 : a > b ? 1 : 0);
  });
  body.append(...sorted);
}));

const choices = [...document.querySelectorAll(".tools button[data-kind]")], search = document.getElementById("search");

function filter() {
  const kind = choices.find((each) => each.getAttribute("aria-pressed") === "true").dataset.kind, text = search.value.trim().toLowerCase();
  for (const row of inOrder) {
    const named = row.cells[0].textContent.toLowerCase().includes(text);
    row.hidden = !named || (kind !== "" && row.dataset.kind !== kind);
  }
}

for (const choice of choices) {
  choice.addEventListener("click", () => {
    choices.forEach((each) => each.setAttribute("aria-pressed", String(each === choice)));
    filter();
  });
}
search.addEventListener("input", filter);
