// Node's `socket.io` with its own rooms.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });
const seqs = new Map();
io.on("connection", (socket) => {
  socket.on("join", (room) => {
    socket.join(room);
    socket.emit("joined", room);
  });
  socket.on("message", ({ id, room, text }) => {
    const seq = (seqs.get(room) ?? 0) + 1;
    seqs.set(room, seq);
    io.to(room).emit("message", { room, seq, id, time: Date.now(), text });
  });
});
http.listen(Number(process.argv[2]), "127.0.0.1");
