
// Tables that sort, protocols to choose from, figures that enlarge.

function sortTable(button) {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const column = [...heading.parentElement.children].indexOf(heading);
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const numeric = heading.classList.contains("num");
  const keyOf = (row) => {
    const cell = row.children[column];
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);
  };
  const sign = descending ? -1 : 1;
  const compare = (a, b) => {
    if (!numeric) return sign * a.localeCompare(b, "en", { numeric: true });
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // last always
    return sign * (a - b);
  };
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row), row]);
  rows.sort((one, other) => compare(one[0], other[0]));
  body.append(...rows.map(([, row]) => row));
}

for (const button of document.querySelectorAll(".sortable thead button")) {
  button.addEventListener("click", () => sortTable(button));
}

const protocolList = document.getElementById("protocol");
const showProtocol = () => {
  for (const block of document.querySelectorAll(".protocol")) block.hidden = block.id !== protocolList.value;
};
if (protocolList) {
  protocolList.addEventListener("change", showProtocol);
  showProtocol();
}

const large = document.getElementById("large");
for (const button of document.querySelectorAll(".zoom")) {
  button.addEventListener("click", () => {
    const { src, alt } = button.querySelector("img");
    Object.assign(large.querySelector("img"), { src, alt });
    large.showModal();
  });
}
large.addEventListener("click", (event) => {
  if (event.target === large) large.close();
});
