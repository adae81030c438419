// Node's `ws` tuned by hand: each message is framed once, and each socket is written once per turn of the event loop.
// It reaches into a private field (`_socket`), as one must to do this with `ws`.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: Number(process.argv[2]), host: "127.0.0.1", perMessageDeflate: false });
const rooms = new Map();
const dirty = new Set();

function framed(text) {
  const payload = Buffer.from(text);
  const header = payload.length < 126 ? Buffer.from([0x81, payload.length])
    : Buffer.from([0x81, 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([header, payload]);
}

function flush() {
  for (const room of dirty) {
    const bytes = room.pending.length === 1 ? room.pending[0] : Buffer.concat(room.pending);
    room.pending = [];
    for (const member of room.members) member._socket.write(bytes);
  }
  dirty.clear();
}

server.on("connection", (socket, request) => {
  const name = new URL(request.url, "http://x").searchParams.get("room");
  let room = rooms.get(name);
  if (!room) rooms.set(name, (room = { seq: 0, members: new Set(), pending: [] }));
  room.members.add(socket);
  socket.on("close", () => room.members.delete(socket));
  socket.on("message", (data) => {
    const { id, text } = JSON.parse(data);
    room.pending.push(framed(JSON.stringify({ type: "message", room: name, seq: ++room.seq, id, time: Date.now(), text })));
    if (dirty.size === 0) setImmediate(flush);
    dirty.add(room);
  });
  socket.send('{"type":"ready"}');
});
