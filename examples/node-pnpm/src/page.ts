interface Roll { sides: number; rolled: number }

const output = document.querySelector("#rolled") as HTMLOutputElement;
const buttons = document.querySelector("#buttons") as HTMLElement;

async function roll(sides: number): Promise<void> {
  const answer = await fetch(`dice/${sides}`);
  const { rolled } = (await answer.json()) as Roll;
  output.textContent = String(rolled);
}

for (const sides of [6, 12, 20]) {
  const button = document.createElement("button");
  button.textContent = `${sides} sides`;
  button.addEventListener("click", () => void roll(sides));
  buttons.append(button, " ");
}
