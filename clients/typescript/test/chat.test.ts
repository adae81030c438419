// The SDK against the real server: killed, drained, limited.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { type Chat, Closed, Refused, type State, Unknown } from "../src/index.js";
import { chat, Heard, Server } from "./world.js";

const servers: Server[] = [];
const chats: Chat[] = [];

async function serve(...options: string[]): Promise<Server> {
  const server = new Server(options);
  servers.push(server);
  return server.start();
}

function enter(...args: Parameters<typeof chat>): Chat {
  const entered = chat(...args);
  chats.push(entered);
  return entered;
}

afterEach(async () => {
  for (const each of chats.splice(0)) each.close();
  for (const server of servers.splice(0)) await server.remove();
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`a restart by ${signal} between two messages loses and doubles nothing`, async () => {
    const server = await serve();
    const [ada, bob] = [enter(server, "ada"), enter(server, "bob")];
    const [said, heard] = [new Heard(), new Heard()];
    ada.join("lobby", said.listen);
    bob.join("lobby", heard.listen);
    await heard.until(() => heard.events.length > 0);
    await ada.send("lobby", "before");
    const user = ada.user;
    await server.end(signal);
    const sending = ada.send("lobby", "meanwhile");
    await server.start();
    await sending;
    assert.equal((await ada.send("lobby", "after")).seq, 3);
    await heard.until(() => heard.log.length === 3);
    assert.deepEqual(heard.log, ["before", "meanwhile", "after"]);
    assert.deepEqual(said.log, heard.log);
    assert.deepEqual(ada.user, user, "the session makes a guest the same user again");
  });
}

test("a burst over the rate limit arrives whole and in order, and none of it is refused", async () => {
  const server = await serve("--messages-per-second", "5");
  const ada = enter(server, "ada");
  const heard = new Heard();
  ada.join("lobby", heard.listen);
  const texts = Array.from({ length: 8 }, (_, index) => String(index));
  const stored = await Promise.all(texts.map((text) => ada.send("lobby", text)));
  assert.deepEqual(stored.map((each) => each.seq), [1, 2, 3, 4, 5, 6, 7, 8]);
  await heard.until(() => heard.log.length === 8);
  assert.deepEqual(heard.log, texts);
});

test("who was away too long is told exactly what is gone, and gets all that is kept", async () => {
  const server = await serve("--messages-per-second", "off", "--history", "150");
  const ada = enter(server, "ada");
  ada.join("lobby", () => {});
  const epoch = (await ada.send("lobby", "1")).epoch;
  for (let number = 2; number <= 160; number++) await ada.send("lobby", String(number));
  const heard = new Heard();
  enter(server, "bob").join("lobby", heard.listen, { epoch, seq: 1 });
  await heard.until(() => heard.log.length === 151);
  assert.equal(heard.log[0], "[2-10]", "more than one reply holds is fetched in pages");
  assert.deepEqual(heard.log.slice(1), Array.from({ length: 150 }, (_, index) => String(index + 11)));
});

test("the largest picture of a room is read: more than many WebSocket libraries take by default", async () => {
  const server = await serve("--messages-per-second", "off", "--frames-per-second", "off");
  const ada = enter(server, "ada");
  ada.join("lobby", () => {});
  const text = "\u{1f9d1}".repeat(4000);
  const { epoch } = await ada.send("lobby", text);
  for (let number = 2; number <= 100; number++) await ada.send("lobby", text);
  const heard = new Heard();
  enter(server, "bob").join("lobby", heard.listen, { epoch, seq: 0 });
  await heard.until(() => heard.log.length === 100);
  assert.ok(heard.log.every((each) => each === text));
});

test("a refused message says why, and a room that cannot be joined ends", async () => {
  const server = await serve();
  const ada = enter(server, "ada");
  const heard = new Heard();
  ada.join("lobby", heard.listen);
  await assert.rejects(ada.send("lobby", "\u0007"), (error: Refused) => error.code === "invalid_text");
  await assert.rejects(ada.send("nowhere", "hello"), /not joined/);
  const bad = new Heard();
  ada.join("not a room!", bad.listen);
  await bad.until(() => bad.events.length > 0);
  assert.equal(bad.events[0]?.type, "ended");
});

test("a taken name ends the chat with the server's reason", async () => {
  const server = await serve();
  const ada = enter(server, "ada");
  const heard = new Heard();
  ada.join("lobby", heard.listen);
  await heard.until(() => heard.events.length > 0);
  const error = await new Promise<Closed | null>((resolve) => {
    enter(server, "ada", { onState: (state: State, other) => state === "ended" && resolve(other.error) });
  });
  assert.equal(error?.error?.code, "name_taken");
});

test("closing settles what was on its way", async () => {
  const server = await serve();
  const ada = enter(server, "ada");
  const heard = new Heard();
  ada.join("lobby", heard.listen);
  await heard.until(() => heard.events.length > 0);
  const flying = ada.send("lobby", "in the air");
  const queued = ada.send("lobby", "behind it");
  ada.close();
  await assert.rejects(flying, Unknown);
  await assert.rejects(queued, (error: Refused) => error.code === "not_sent");
  await assert.rejects(ada.send("lobby", "too late"), Closed);
});
