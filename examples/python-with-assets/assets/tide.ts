async function draw(svg: SVGSVGElement): Promise<void> {
  const heights: number[] = await (await fetch("/tide.json")).json();
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", heights.map((height, step) => `${step},${-height}`).join(" "));
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", "currentColor");
  line.setAttribute("vector-effect", "non-scaling-stroke");
  svg.replaceChildren(line);
}

void draw(document.querySelector<SVGSVGElement>("#tide")!);
