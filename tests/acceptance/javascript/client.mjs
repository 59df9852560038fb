// node client.mjs URL TOKEN SESSION [transports]
// Follows a session with the stock client, and prints what it sees: one JSON array per line.
import { io } from "socket.io-client";

const [, , url, token, session, transports] = process.argv;
const print = (...values) => process.stdout.write(JSON.stringify(values) + "\n");
const socket = io(`${url}/ws`, {
  auth: { token },
  reconnectionDelay: 100,
  ...(transports && { transports: transports.split(",") }),
});
let cursor;

socket.io.on("open", () => {
  print("open", { transport: socket.io.engine.transport.name });
  socket.io.engine.once("upgrade", (transport) => print("upgrade", { transport: transport.name }));
});
socket.on("connect", () => {
  socket.emit("subscribe:session", { sessionId: session, after: cursor }, (answer) => {
    cursor ??= answer.cursor;
    print("answer", answer);
  });
});
socket.on("connect_error", (error) => print("connect_error", { message: error.message, data: error.data }));
socket.on("disconnect", (reason) => print("disconnect", { reason }));
socket.onAny((name, payload) => {
  if (payload?.cursor) cursor = payload.cursor;
  print(name, payload);
});
process.stdin.on("end", () => process.exit(0)).resume();
