// A chat room: Express serves the page, ws carries the messages. This instance keeps the last fifty in memory.
const http = require("node:http");
const path = require("node:path");
const express = require("express");
const { WebSocketServer, WebSocket } = require("ws");

const KEPT = 50;
const LONGEST = 500;

const app = express();
app.use(express.static(path.join(__dirname, "public")));

const server = http.createServer(app);
const room = new WebSocketServer({ server, path: "/chat", maxPayload: 16 * 1024 });
const history = [];

room.on("connection", (socket) => {
  socket.send(JSON.stringify({ kind: "history", messages: history }));
  tellHowMany();
  socket.on("message", (data) => {
    const message = read(data);
    if (message) say(message);
  });
  socket.on("close", tellHowMany);
  socket.on("error", (error) => console.error(`a connection failed: ${error.message}`));
});

function read(data) {
  let found;
  try {
    found = JSON.parse(data);
  } catch {
    return null; // not a message of the chat
  }
  const name = String(found?.name ?? "").trim().slice(0, 30) || "someone";
  const text = String(found?.text ?? "").trim().slice(0, LONGEST);
  return text ? { kind: "message", name, text, at: new Date().toISOString() } : null;
}

function say(message) {
  history.push(message);
  if (history.length > KEPT) history.shift();
  toAll(message);
}

function tellHowMany() {
  toAll({ kind: "people", count: room.clients.size });
}

function toAll(message) {
  const text = JSON.stringify(message);
  for (const client of room.clients) {
    if (client.readyState === WebSocket.OPEN) client.send(text);
  }
}

server.listen(process.env.PORT || 3000, "0.0.0.0", () => console.log(`express-chat listens on port ${server.address().port}`));

process.on("SIGTERM", () => {
  for (const client of room.clients) client.close(1001, "this instance stops");
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
