"use strict";
const at = (id) => document.getElementById(id);

async function look() {
  try {
    const answer = await fetch("/status", { headers: { accept: "application/json" } });
    if (answer.status === 401) {
      at("token").textContent = "Your session has ended. Reload the page to sign in again.";
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const status = await answer.json();
    at("refreshes").textContent = status.refreshes ?? "–";
    at("left").value = status.access_token_left ?? 0;
    at("token").textContent = status.access_token_left === null
      ? "The access token has ended at the provider."
      : `Token ${status.access_token}, ${status.access_token_left} s left`;
    const stopped = status.provider_stopped_for;
    at("dot").className = stopped > 0 ? "dot off" : "dot";
    at("provider").textContent = stopped > 0
      ? `Provider is stopped for another ${stopped} s`
      : status.next_refresh_fails ? "Provider answers, but will fail the next refresh" : "Provider answers";
  } catch (error) {
    at("token").textContent = `No good answer: ${error.message}`;
  }
  setTimeout(look, 2000);
}
look();

let socket;
function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/echo`);
  socket.onopen = () => { at("echo").textContent = "connected"; };
  socket.onmessage = (event) => { at("echo").textContent = `came back: ${event.data}`; };
  socket.onclose = () => { at("echo").textContent = "closed; send to connect again"; };
}
connect();
at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN) socket.send(at("words").value);
  else connect();
});

at("upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = at("file").files[0];
  if (!file) { at("counted").textContent = "Choose a file first."; return; }
  at("counted").textContent = "sending…";
  try {
    const answer = await fetch("/upload", { method: "POST", body: file });
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    const counted = await answer.json();
    at("counted").textContent = `${counted.bytes} bytes in ${counted.pieces} pieces, ${counted.milliseconds} ms`;
  } catch (error) {
    at("counted").textContent = `did not work: ${error.message}`;
  }
});

const ticks = new EventSource("/events");
ticks.onmessage = (event) => { at("ticks").textContent = `event ${event.data}`; };
ticks.onerror = () => { at("ticks").textContent = "interrupted, connecting again"; };
