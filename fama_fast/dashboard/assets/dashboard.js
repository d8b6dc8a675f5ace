// What AG Grid calls back: links, numbers, rows fetched from this server. Values are set as text, never as markup.
function tell(text) {
  const note = document.getElementById("table-note");
  if (note) note.textContent = text;
}

window.famaFast = {
  link(params) {
    if (!params.data) return "";
    const anchor = document.createElement("a");
    anchor.href = params.context.base + encodeURIComponent(params.data[params.context.key]);
    anchor.textContent = params.value ?? "";
    anchor.tabIndex = -1; // the cell takes the focus; Enter follows
    anchor.dir = "ltr";
    return anchor;
  },
  wide: () => (window.innerWidth < 600 ? 210 : 430), // on a phone, the scores stay in sight
  signed: (params) => (params.value == null ? "–" : (params.value < 0 ? "−" : "+") + Math.abs(params.value).toFixed(4)),
  ratio: (params) => (params.value == null ? "–" : params.value.toFixed(2)),
  follow(params) {
    if (params.event.key !== "Enter" || !params.data) return;
    const cell = params.event.target.closest?.(".ag-cell");
    cell?.closest("[role=row]")?.querySelector("a")?.click();
  },
  rows(url) {
    return {
      async getRows(params) {
        const query = new URLSearchParams({
          start: params.startRow,
          end: params.endRow,
          sort: JSON.stringify(params.sortModel),
          filters: JSON.stringify(params.filterModel ?? {}),
        });
        try {
          const answer = await fetch(url + "?" + query);
          const found = await answer.json();
          if (!answer.ok) throw new Error(found.error);
          params.successCallback(found.rows, found.total);
          tell(found.total.toLocaleString("en") + (found.total === 1 ? " row" : " rows"));
        } catch (error) {
          params.failCallback();
          tell("The table could not be read: " + error.message);
        }
      },
    };
  },
};
