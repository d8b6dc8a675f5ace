// Figures are drawn when they come into view, so a page of fifty factors opens at once.
function draw(holder) {
  if (holder.dataset.state) return;
  holder.dataset.state = "drawing";
  const spec = JSON.parse(document.getElementById("spec-" + holder.dataset.spec).textContent);
  window.vegaEmbed(holder, spec, { actions: false, renderer: "svg" }).then(
    () => { holder.dataset.state = "drawn"; },
    (error) => { holder.dataset.state = "failed"; holder.textContent = "This figure could not be drawn: " + error; }
  );
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "400px" });
for (const holder of document.querySelectorAll(".vega")) seen.observe(holder);
window.addEventListener("beforeprint", () => document.querySelectorAll(".vega").forEach(draw));

// Tables sort by a click or a key on a column's head.
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return text === "–" ? null : Number.isNaN(number) ? text : number;
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
