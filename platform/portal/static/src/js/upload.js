// Uploads an archive with a progress bar. Without this script, the form uploads without one.
import { announce } from "./announce.js";

export function start() {
  for (const form of document.querySelectorAll("form[data-upload]")) arm(form);
  // A file that is dropped outside of the zone must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
}

function arm(form) {
  const zone = form.querySelector(".drop");
  const input = form.querySelector("input[type=file]");
  let depth = 0;
  zone.addEventListener("dragenter", () => {
    depth += 1;
    zone.dataset.over = "";
  });
  zone.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) delete zone.dataset.over;
  });
  zone.addEventListener("drop", (event) => {
    depth = 0;
    delete zone.dataset.over;
    if (event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      send(form, zone);
    }
  });
  input.addEventListener("change", () => {
    if (input.files.length) send(form, zone);
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter?.formNoValidate) return; // a button that needs no archive
    event.preventDefault();
    if (input.files.length) send(form, zone);
    else input.focus();
  });
}

function send(form, zone) {
  if ("uploading" in zone.dataset) return;
  const file = form.querySelector("input[type=file]").files[0];
  nameAfter(form, file);
  if (!form.reportValidity()) return;
  const bar = zone.querySelector("progress");
  const words = zone.querySelector("[data-upload-words]");
  const request = new XMLHttpRequest();
  zone.dataset.uploading = "";
  show(bar, words, 0, file);
  announce(`Uploading ${file.name}.`);
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) show(bar, words, event.loaded / event.total, file);
  });
  request.addEventListener("load", () => finish(request, zone, form));
  request.addEventListener("error", () => fail(zone, form, "The upload failed because the connection was lost. Choose the file again to retry."));
  zone.querySelector("[data-upload-cancel]").onclick = () => {
    request.abort();
    fail(zone, form, "");
  };
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.send(new FormData(form));
}

/** If the form creates the app and its name is empty, the app is named after the archive. */
function nameAfter(form, file) {
  const field = [...form.elements].find((element) => element.matches("input[data-slug]"));
  if (!field || field.value) return;
  const stem = file.name.replace(/\.(zip|tar|tgz|tzst|txz|tar\.\w+)$/i, "");
  field.value = stem.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^[^a-z]+|-+$/g, "").slice(0, 40);
}

function show(bar, words, part, file) {
  bar.value = part;
  words.textContent = part < 1 ? `${file.name}: ${Math.round(part * 100)} % of ${size(file.size)}` : `${file.name}: received, starting the build`;
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB"];
  let amount = bytes / 1024;
  while (amount >= 1024 && units.length > 1) {
    amount /= 1024;
    units.shift();
  }
  return `${amount.toFixed(1)} ${units[0]}`;
}

function finish(request, zone, form) {
  let answer = {};
  try {
    answer = JSON.parse(request.responseText);
  } catch {
    answer = { error: `The upload failed: the portal answered with status ${request.status}. Reload the page and try again.` };
  }
  if (answer.location) location.assign(answer.location);
  else fail(zone, form, [answer.error, answer.hint].filter(Boolean).join(" "));
}

function fail(zone, form, sentence) {
  delete zone.dataset.uploading;
  form.querySelector("input[type=file]").value = "";
  const problem = form.querySelector("[data-upload-problem]");
  problem.hidden = !sentence;
  problem.querySelector("span").textContent = sentence;
}
