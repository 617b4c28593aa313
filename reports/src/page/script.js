(() => {
  "use strict";
  const root = document.documentElement;
  const theme = document.getElementById("theme");
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("click", () => {
      const dark = getComputedStyle(root).colorScheme === "dark";
      root.dataset.theme = dark ? "light" : "dark";
    });
  }
  for (const table of document.querySelectorAll(".sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const of = (row) => {
          const cell = row.cells[column];
          return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
        };
        const order = (a, b) => (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0);
        const rows = [...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b)));
        body.append(...rows);
      });
    });
  }
  const holder = document.getElementById("series");
  const group = document.querySelector("#strips .scroll");
  if (!holder || !group) return;
  const rows = JSON.parse(holder.textContent);
  const strips = [...group.querySelectorAll("[data-strip]")];
  const cross = group.querySelector(".cross");
  const [left, right] = [62 / 960, 846 / 960];
  const clock = (s) => `${String(Math.floor(s / 60)).padStart(2, "0")}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const clear = () => {
    cross.hidden = true;
    for (const strip of strips) strip.querySelector("output").textContent = "";
  };
  group.addEventListener("pointerleave", clear);
  group.addEventListener("pointermove", (event) => {
    const box = group.querySelector("svg").getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width - left) / (right - left);
    if (share < 0 || share > 1) return clear();
    cross.hidden = false;
    cross.style.left = `${event.clientX - group.getBoundingClientRect().left + group.scrollLeft}px`;
    for (const strip of strips) {
      const [bin, series] = rows[Number(strip.dataset.strip)];
      if (!series.length) continue;
      const at = Math.min(Math.floor((share * Number(group.dataset.us)) / bin), series[0][2].length - 1);
      const parts = series.filter((s) => s[2][at] !== null).map(([name, unit, values]) => `${name} ${values[at]}${unit ? " " + unit : ""}`);
      strip.querySelector("output").textContent = `${clock((at * bin) / 1e6)} ${parts.join(" · ")}`;
    }
  });
})();
