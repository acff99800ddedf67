import "./style.css";
import { knots } from "./knots.js";

const view = document.querySelector("#view");

function show() {
  const name = location.pathname.replace(/^\/knots\//, "");
  const knot = knots.find((one) => one.name === name);
  document.title = knot ? `${knot.title} - Knots` : "Knots";
  view.innerHTML = knot
    ? `<h1>${knot.title}</h1><p>${knot.use}</p><p><a href="/">All knots</a></p>`
    : `<h1>Knots</h1><ul>${knots.map((one) => `<li><a href="/knots/${one.name}">${one.title}</a></li>`).join("")}</ul>`;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || link.origin !== location.origin) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show();
});
addEventListener("popstate", show);
show();
