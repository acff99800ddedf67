import { fileURLToPath } from "node:url";
import fastify from "fastify";
import files from "@fastify/static";

const server = fastify();
server.register(files, { root: fileURLToPath(new URL("public", import.meta.url)) });

server.get("/dice/:sides", {
  schema: { params: { type: "object", properties: { sides: { type: "integer", minimum: 2, maximum: 100 } } } },
  handler: async ({ params }) => ({ sides: params.sides, rolled: 1 + Math.floor(Math.random() * params.sides) }),
});

await server.listen({ host: "0.0.0.0", port: Number(process.env.PORT ?? 8000) });
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => server.close());
