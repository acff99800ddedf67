// Buttons that copy text, and buttons that show masked values.
import { announce } from "./announce.js";

export function start() {
  document.addEventListener("click", (event) => {
    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
    const revealer = event.target.closest("[data-reveal]");
    if (revealer) reveal(revealer);
  });
}

async function copy(button) {
  const text = button.dataset.copy || document.getElementById(button.dataset.copyFrom)?.textContent || "";
  await write(text.trim());
  announce("Copied.");
  button.dataset.copied = "";
  setTimeout(() => delete button.dataset.copied, 1600);
}

async function write(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // Plain HTTP on other hosts than localhost has no clipboard API, so a selected text field is used.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sr-only";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function reveal(button) {
  const field = document.getElementById(button.getAttribute("aria-controls"));
  const shown = button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!shown));
  if (field instanceof HTMLInputElement) field.type = shown ? "password" : "text";
}
