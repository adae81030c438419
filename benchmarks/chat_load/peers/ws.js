// Node's `ws` as most people write a room with it: parse, stamp, `send` to each client.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: Number(process.argv[2]), host: "127.0.0.1", perMessageDeflate: false });
const rooms = new Map();
server.on("connection", (socket, request) => {
  const name = new URL(request.url, "http://x").searchParams.get("room");
  let room = rooms.get(name);
  if (!room) rooms.set(name, (room = { seq: 0, members: new Set() }));
  room.members.add(socket);
  socket.on("close", () => room.members.delete(socket));
  socket.on("message", (data) => {
    const { id, text } = JSON.parse(data);
    const frame = JSON.stringify({ type: "message", room: name, seq: ++room.seq, id, time: Date.now(), text });
    for (const member of room.members) member.send(frame);
  });
  socket.send('{"type":"ready"}');
});
