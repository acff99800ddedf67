const Koa = require("koa");
const { boats, price } = require("prices");

const app = new Koa();
app.use(async (context) => {
  const [, boat, time] = decodeURIComponent(context.path).split("/");
  if (!boat) {
    const links = boats.map((name) => `<li>${name}: <a href="/${name}/90m">90 minutes</a>, <a href="/${name}/2 days">two days</a>`);
    context.body = `<!doctype html><title>Boats</title><h1>Boats for a while</h1><ul>${links.join("")}</ul>`;
    return;
  }
  const euros = price(boat, time);
  context.status = euros === null ? 404 : 200;
  context.body = euros === null ? { error: `no such boat or time; boats are ${boats.join(", ")}` } : { boat, time, euros };
});

const server = app.listen(Number(process.env.PORT ?? 8000));
process.once("SIGTERM", () => server.close());
