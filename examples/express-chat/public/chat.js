const list = document.getElementById("messages");
const state = document.getElementById("state");
const form = document.getElementById("form");
const name = document.getElementById("name");
const text = document.getElementById("text");
let socket;

name.value = localStorage.getItem("name") ?? "";

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/chat`);
  socket.onmessage = ({ data }) => take(JSON.parse(data));
  socket.onclose = () => {
    state.textContent = "Connection lost, trying again…";
    setTimeout(connect, 1000);
  };
}

function take(message) {
  if (message.kind === "people") state.textContent = message.count === 1 ? "You are alone here" : `${message.count} people here`;
  if (message.kind === "message") show(message);
  if (message.kind === "history") {
    list.replaceChildren();
    message.messages.forEach(show);
  }
}

function show({ name: author, text: words, at }) {
  const item = document.createElement("li");
  const head = document.createElement("span");
  const body = document.createElement("p");
  head.textContent = `${author}, ${new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  body.textContent = words;
  item.classList.toggle("own", author === name.value.trim());
  item.append(head, body);
  list.append(item);
  item.scrollIntoView({ block: "end" });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  localStorage.setItem("name", name.value.trim());
  socket.send(JSON.stringify({ name: name.value, text: text.value }));
  text.value = "";
  text.focus();
});

connect();
