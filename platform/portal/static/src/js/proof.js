// Computes the proof of work of the sign-in form after too many failed attempts: see portal/accounts/proof.py.
// Own SHA-256 (FIPS 180-4): browsers have one only on HTTPS, and a promise per hash is slow.
const PARTS = 8;
const CHUNK = 20000; // hashes before the page can process events again

const K = new Int32Array(64);
const INITIAL = new Int32Array(8);
constants();
const words = new Int32Array(64);

/** Returns the first 32 bits of SHA-256 of a text of at most 55 ASCII characters. */
export function firstWord(text) {
  words.fill(0, 0, 16);
  for (let at = 0; at < text.length; at++) words[at >> 2] |= text.charCodeAt(at) << (24 - 8 * (at & 3));
  words[text.length >> 2] |= 0x80 << (24 - 8 * (text.length & 3));
  words[15] = text.length * 8;
  for (let t = 16; t < 64; t++) {
    const x = words[t - 15];
    const y = words[t - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    words[t] = (words[t - 16] + s0 + words[t - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = INITIAL;
  for (let t = 0; t < 64; t++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[t] + words[t]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  return (a + INITIAL[0]) >>> 0;
}

/** Returns the numbers for all parts, joined by commas. The page stays usable during the search. */
export async function prove(nonce, zeros) {
  const numbers = [];
  for (let part = 0; part < PARTS; part++) {
    let number = 0;
    while (firstWord(`${nonce}:${part}:${number}`) >>> (32 - zeros) !== 0) {
      number++;
      if (number % CHUNK === 0) await new Promise((resume) => setTimeout(resume));
    }
    numbers.push(number);
  }
  return numbers.join(",");
}

function constants() {
  const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  let found = 0;
  for (let candidate = 2; found < 64; candidate++) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate && prime; divisor++) prime = candidate % divisor !== 0;
    if (!prime) continue;
    if (found < 8) INITIAL[found] = fraction(Math.sqrt(candidate));
    K[found++] = fraction(Math.cbrt(candidate));
  }
}

export function start() {
  for (const box of document.querySelectorAll("[data-proof]")) proveIn(box);
}

function proveIn(box) {
  const form = box.closest("form");
  const proof = form.querySelector("[name=proof]");
  const note = box.querySelector("[role=status]");
  let submitted = false;
  prove(box.dataset.nonce, Number(box.dataset.zeros)).then((numbers) => {
    proof.value = numbers;
    note.textContent = "Your browser is ready to sign in.";
    if (submitted) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    if (proof.value) return;
    event.preventDefault();
    submitted = true;
    note.textContent = "Please wait: your browser signs in when the computation is done.";
  });
}
