const ms = require("ms");

const PER_HOUR = { dinghy: 18, sloop: 45, ketch: 80 };

/** The price of a boat in whole euros for a time such as "90m" or "2 days"; null if the boat or the time is unknown. */
exports.price = function price(boat, while_) {
  const milliseconds = ms(String(while_).slice(0, 20));
  return boat in PER_HOUR && milliseconds > 0 ? Math.ceil((PER_HOUR[boat] * milliseconds) / ms("1h")) : null;
};
exports.boats = Object.keys(PER_HOUR);
