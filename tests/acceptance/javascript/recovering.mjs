// node recovering.mjs URL TOKEN SESSIONS [transports]
// Follows sessions with the stock client and Socket.IO's own connection state recovery: it
// subscribes only where it must. Prints what it sees: one JSON array per line. The line "close" on
// stdin closes its engine, as a network that fails does; "stall" has it do nothing for a while.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [, , url, token, sessions, transports] = process.argv;
const print = (...values) => process.stdout.write(JSON.stringify(values) + "\n");
const socket = io(`${url}/ws`, {
  auth: { token, recover: true },
  reconnectionDelay: 100,
  reconnectionDelayMax: 500,
  ...(transports && { transports: transports.split(",") }),
});
const following = new Set();

socket.on("connect", () => {
  if (!socket.recovered) following.clear();
  print("connect", { recovered: Boolean(socket.recovered) });
  for (const session of sessions.split(",")) if (!following.has(session)) subscribe(session);
});
socket.on("disconnect", (reason, details) =>
  print("disconnect", { reason, code: details?.context?.code, why: details?.context?.reason }),
);
socket.on("connect_error", (error) => print("connect_error", { message: error.message }));
socket.onAny((name, payload) => print(name, payload));

function subscribe(sessionId) {
  socket.emit("subscribe:session", { sessionId }, (answer) => {
    if (answer.ok) following.add(sessionId);
    print("answer", answer);
  });
}

function stall(milliseconds) {
  print("stall", {});
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

createInterface({ input: process.stdin })
  .on("line", (line) => (line === "stall" ? stall(4000) : socket.io.engine.close()))
  .on("close", () => process.exit(0));
