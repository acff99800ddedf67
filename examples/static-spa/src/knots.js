export const knots = [
  { name: "bowline", title: "Bowline", use: "A loop that neither slips nor jams: for mooring, and for whoever went overboard." },
  { name: "clove-hitch", title: "Clove hitch", use: "Ties a rope to a pole, quickly and not for long: for fenders." },
  { name: "sheet-bend", title: "Sheet bend", use: "Joins two ropes, even of different thickness." },
  { name: "figure-eight", title: "Figure eight", use: "A stopper at the end of a rope, which a block does not swallow." },
];
