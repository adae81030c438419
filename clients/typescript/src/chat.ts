// The client: stays connected, joins its rooms again with `since` and `sent`, and settles every message.
//
//   idle > dialling > greeting > entering > ready, and from each of them on a loss: waiting, renewing or ended, as the
//   range of the close code asks: 4000-4099 stop, 4100-4199 back off, 4200-4299 at once or at the notice's time,
//   4300-4399 with a new token; all others back off. The wait is drawn evenly from 0 to a ceiling that doubles.
//
// Everything is driven by the socket's events and one timer. Listeners are called synchronously and must not throw.

import { Outbox } from "./outbox.js";
import { Room } from "./room.js";
import {
  Closed,
  type ErrorFrame,
  type Hello,
  type HistoryAck,
  type JoinAck,
  type Position,
  Refused,
  type RoomEvent,
  type SendAck,
  type State,
  type Stored,
  type User,
} from "./types.js";

export interface Options {
  /** `http://host:port` or `ws://host:port/ws`; https and wss for TLS. */
  url: string;
  /** A guest's name; either this or `token`. */
  name?: string;
  /** A guest's secret from an earlier `chat.session`, to be the same user again. */
  session?: string | null;
  /** Fetches a token whenever one is needed. */
  token?: () => Promise<string>;
  /** Called on every change of the link. */
  onState?: (state: State, chat: Chat) => void;
  /** Where there is no global one. */
  WebSocket?: typeof WebSocket;
  backoffBaseMs?: number;
  backoffCapMs?: number;
  outbox?: number;
  random?: () => number;
}

type Asked = { kind: string; at: number; ack: (frame: never, now: number) => void; error: (error: Refused, now: number) => void };

const HANDSHAKE_MS = 10_000;
const ANSWER_MS = 30_000;
const STABLE_MS = 10_000;
const STALL_MS = 1_000;
const RENEW_BEFORE_MS = 30_000;

export class Chat {
  state: State = "idle";
  user: User | null = null;
  session: string | null;
  /** Why it ended, where the program did not want it. */
  error: Closed | null = null;
  /** The newest error that answered no request of the program. */
  lastError: Refused | null = null;
  /** When the next attempt is made (by `performance.now()`), while waiting. */
  dialAt: number | null = null;

  private readonly rooms = new Map<string, Room>();
  private readonly outbox: Outbox;
  private readonly asked = new Map<string, Asked>();
  private readonly prefix = randomId();
  private readonly random: () => number;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private hello: Hello | null = null;
  private token: string | null = null;
  private ids = 0;
  private attempt = 0;
  private since = 0;
  private heard = 0;
  private helloAt = 0;
  private resumeAt: number | null = null;
  private renewAt: number | null = null;
  private tokenTries = 0;
  private everReady = false;

  constructor(private readonly options: Options) {
    if ((options.name === undefined) === (options.token === undefined)) {
      throw new Error("Give either a guest's name or a token.");
    }
    this.session = options.session ?? null;
    this.outbox = new Outbox(options.outbox ?? 1000);
    this.random = options.random ?? Math.random;
  }

  /** Begin to connect. */
  start(): this {
    if (this.state === "idle") this.begin(performance.now());
    return this;
  }

  /** Be in a room, over every reconnect. Every event goes to `listener`; the same name again returns the same room. */
  join(name: string, listener: (event: RoomEvent) => void, since: Position | null = null): Room {
    let room = this.rooms.get(name);
    if (!room) {
      room = new Room(name, since, listener);
      if (this.state === "ended") room.end(this.error);
      else this.rooms.set(name, room);
      this.settle(performance.now());
    }
    return room;
  }

  leave(name: string): void {
    const room = this.rooms.get(name);
    if (!room) return;
    this.rooms.delete(name);
    if (room.present || room.phase === "joining") this.ask("leave", { room: name });
    this.endRoom(room, null, "the room was left");
  }

  /**
   * Say something in a joined room. Rejects with Refused (not stored) or Unknown (nobody can say).
   * The same `cid` (1 to 64 characters) is stored once, however often it is sent.
   */
  send(room: string, text: string, cid = `${this.prefix}-${++this.ids}`): Promise<Stored> {
    return new Promise((resolve, reject) => {
      if (this.state === "ended") throw this.error ?? new Closed(null, "The chat is closed.");
      if (!this.rooms.has(room)) throw new Error(`The room ${room} is not joined: call join() first.`);
      const settle = (outcome: Stored | Error): void => (outcome instanceof Error ? reject(outcome) : resolve(outcome));
      this.outbox.post({ room, text, cid, settle, state: "queued", tries: 0, user: "", epoch: "" });
      this.settle(performance.now());
    });
  }

  typing(room: string): void {
    if (this.rooms.get(room)?.present) this.ask("typing", { room });
  }

  /** Do not wait any longer: dial now. */
  retry(): void {
    if (this.state === "waiting") this.begin(performance.now());
  }

  /** End. What is unsettled is settled at once. */
  close(): void {
    this.end(null);
  }

  // ---- the link -------------------------------------------------------------------------------------------------

  private begin(now: number): void {
    if (this.options.token && this.token === null) this.renew();
    else this.dial(now);
  }

  private dial(now: number): void {
    const Socket = this.options.WebSocket ?? WebSocket;
    const socket = new Socket(socketUrl(this.options.url));
    this.socket = socket;
    this.since = this.heard = now;
    const mine = (then: (now: number) => void) => () => {
      if (this.socket === socket) then(performance.now());
    };
    socket.onopen = mine((at) => {
      this.heard = at;
      this.move("greeting");
    });
    socket.onmessage = (event) => mine((at) => this.receive(String(event.data), at))();
    socket.onclose = (event) => mine((at) => this.lost(event.code, event.reason, at))();
    // An error is always the end, of a connection without a close code; not every WebSocket reports `close` after it.
    socket.onerror = mine((at) => this.lost(null, "The connection failed.", at));
    this.move("dialling");
    this.settle(now);
  }

  private move(state: State): void {
    if (this.state === state) return;
    this.state = state;
    if (state !== "waiting") this.dialAt = null;
    this.options.onState?.(state, this);
  }

  private get connected(): boolean {
    return ["dialling", "greeting", "entering", "ready"].includes(this.state);
  }

  private lost(code: number | null, reason: string, now: number): void {
    const ready = this.state === "ready";
    if (ready && now - this.since >= STABLE_MS) this.attempt = 0;
    this.hang();
    const range = code === null ? 0 : Math.floor(code / 100);
    if (range === 40 || (range === 43 && !this.options.token)) {
      this.end(new Closed(code, reason, this.lastError));
    } else if (range === 43) {
      this.renew();
    } else if (range === 42 && ready) {
      this.wait(this.resumeAt ?? now, now);
    } else {
      const asked = this.lastError?.retryAfterMs ?? 0;
      this.wait(Math.max(now + this.backoff(), this.resumeAt ?? now, now + asked), now);
    }
  }

  private broken(now: number, after = 0): void {
    this.hang();
    this.wait(Math.max(now + this.backoff(), now + after), now);
  }

  private backoff(): number {
    const { backoffBaseMs = 500, backoffCapMs = 30_000 } = this.options;
    return this.random() * Math.min(backoffCapMs, backoffBaseMs * 2 ** Math.min(this.attempt++, 30));
  }

  private hang(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    if (this.asked.size) this.outbox.lost();
    this.asked.clear();
    for (const room of this.rooms.values()) room.apart();
  }

  private wait(until: number, now: number): void {
    this.dialAt = until;
    this.move("waiting");
    this.settle(now);
  }

  private end(error: Closed | null): void {
    if (this.state === "ended") return;
    this.hang();
    this.error = error;
    clearTimeout(this.timer);
    this.move("ended");
    for (const room of [...this.rooms.values()]) this.endRoom(room, error, "the connection ended");
    this.rooms.clear();
  }

  private renew(): void {
    if (this.state !== "ready") this.move("renewing");
    this.options.token?.().then(
      (token) => {
        this.token = token;
        if (this.state === "renewing") this.dial(performance.now());
        else if (this.state === "ready") this.auth(performance.now());
      },
      (error: unknown) => {
        const now = performance.now();
        if (this.state === "ready") this.renewAt = now + this.backoff();
        else if (this.state === "renewing" && this.everReady) this.wait(now + this.backoff(), now);
        else if (this.state === "renewing") this.end(new Closed(null, `No token could be had: ${String(error)}`));
      },
    );
  }

  // ---- frames ---------------------------------------------------------------------------------------------------

  private receive(data: string, now: number): void {
    this.heard = now;
    const frame = parse(data);
    if (frame === null) {
      this.lastError = new Refused("protocol", "The server sent something that is not JSON.");
      this.broken(now);
      return;
    }
    const room = typeof frame.room === "string" ? this.rooms.get(frame.room) : undefined;
    switch (frame.type) {
      case "ack":
        this.answered(frame.re)?.ack(frame as never, now);
        break;
      case "error":
        this.refused(frame, now);
        break;
      case "message":
        room?.pushed(frame);
        break;
      case "presence":
        room?.presence(frame.joined ?? [], frame.left ?? [], frame.member_count);
        break;
      case "typing":
      case "deleted":
      case "evaluation":
        room?.other(frame);
        break;
      case "ping":
        this.write({ type: "pong" });
        break;
      case "hello":
        this.greeted(frame, now);
        break;
      case "notice":
        if (frame.code === "shutdown" && typeof frame.after_ms === "number") this.resumeAt = now + frame.after_ms;
        if (frame.code === "token_expiring" && this.options.token) this.renewAt = now;
        break;
      default: // of a later version
    }
    this.settle(now);
  }

  private answered(re: string | null): Asked | undefined {
    const asked = re === null ? undefined : this.asked.get(re);
    if (asked) this.asked.delete(re as string);
    return asked;
  }

  private refused(frame: ErrorFrame, now: number): void {
    const error = new Refused(
      frame.code,
      frame.message,
      frame.retryable ?? false,
      frame.retry_after_ms ?? null,
      frame.scope ?? null,
    );
    const asked = this.answered(frame.re);
    if (asked) asked.error(error, now);
    else this.lastError = error;
  }

  private greeted(hello: Hello, now: number): void {
    this.hello = hello;
    this.helloAt = now;
    this.lastError = null;
    this.outbox.limit(hello.limits?.messages ?? null, hello.limits?.per_seconds ?? 1);
    this.move("entering");
    this.auth(now);
  }

  private auth(now: number): void {
    const fields = this.token !== null ? { token: this.token } : { name: this.options.name, session: this.session };
    this.ask(
      "auth",
      fields,
      (ack: { user: User; session?: string | null; expires?: number | null }, at) => this.entered(ack, at),
      (error, at) => this.authRefused(error, at),
      now,
    );
  }

  private entered(ack: { user: User; session?: string | null; expires?: number | null }, now: number): void {
    this.user = ack.user;
    if (this.token === null) this.session = ack.session ?? this.session;
    this.tokenTries = 0;
    this.renewAt = null;
    if (ack.expires && this.options.token && this.hello) {
      const left = ack.expires - this.hello.time - (now - this.helloAt);
      this.renewAt = now + Math.max(0, left - Math.min(RENEW_BEFORE_MS, left / 2));
    }
    if (this.state !== "entering") return;
    this.since = now;
    this.everReady = true;
    this.resumeAt = null;
    this.move("ready");
  }

  private authRefused(error: Refused, now: number): void {
    this.lastError = error;
    if (error.retryable && this.state === "ready") {
      this.renewAt = now + Math.max(this.backoff(), error.retryAfterMs ?? 0);
    } else if (error.retryable || (error.code === "name_taken" && this.everReady)) {
      this.broken(now, error.retryAfterMs ?? 0); // our own name may still be held by a connection that hangs
    } else if (error.code === "invalid_token" && this.session !== null) {
      this.session = null; // a server with a new secret: the same name, a new user
      this.auth(now);
    } else if (this.options.token && this.tokenTries++ < 2) {
      this.hang();
      this.move("renewing");
      this.renew();
    } else {
      this.end(new Closed(null, "The server refused the identity.", error));
    }
  }

  private ask<A>(
    type: string,
    fields: object,
    ack: (ack: A, now: number) => void = () => {},
    error: (error: Refused, now: number) => void = () => {},
    now = performance.now(),
    kind = type,
  ): void {
    const id = String(++this.ids);
    this.asked.set(id, { kind, at: now, ack: ack as Asked["ack"], error });
    this.write({ type, id, ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) });
  }

  private write(frame: object): void {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(frame));
  }

  // ---- after every input ----------------------------------------------------------------------------------------

  private settle(now: number): void {
    if (this.state === "ready") {
      for (const room of this.rooms.values()) this.tend(room, now);
      for (let due = this.due(now); due.length; due = this.due(now)) for (const entry of due) this.speak(entry, now);
    }
    this.schedule(now);
  }

  private due(now: number): ReturnType<Outbox["due"]> {
    return this.outbox.due((name) => this.rooms.get(name)?.present ?? false, now);
  }

  private speak(entry: ReturnType<Outbox["due"]>[number], now: number): void {
    const { room, text, cid } = entry;
    this.outbox.written(entry, this.user?.id ?? "", this.rooms.get(room)?.position?.epoch ?? "");
    this.ask(
      "send",
      { room, text, cid },
      ({ seq, epoch, mid, time, durability, duplicate }: SendAck, at) => {
        const stored: Stored = { room, cid, seq, epoch, mid, time, ...(durability ? { durability } : {}) };
        this.outbox.acked(entry, stored, duplicate ?? false, at);
      },
      (error, at) => {
        const apart = error.code === "not_joined";
        if (apart) this.rooms.get(room)?.apart(); // the server and we disagree: a join puts that right
        this.outbox.refused(entry, apart ? new Refused(error.code, error.message, true, 0, "room") : error, at);
      },
      now,
    );
  }

  private tend(room: Room, now: number): void {
    const refused = (error: Refused, at: number): void => {
      if (error.retryable || error.code === "not_joined") {
        room.apart(at + (error.retryAfterMs ?? 1000));
      } else {
        this.rooms.delete(room.name);
        this.endRoom(room, error, "the room cannot be joined any more");
      }
    };
    if (room.phase === "apart" && room.retryAt <= now) {
      room.phase = "joining";
      for (const [re, asked] of this.asked) if (asked.kind === `page ${room.name}`) this.asked.delete(re);
      const sent = this.outbox.doubtful(room.name);
      const fields = { room: room.name, since: room.position, sent: sent.length ? sent : null };
      this.ask("join", fields, (ack: JoinAck) => this.joined(room, ack), refused, now);
    } else if (room.phase === "filling" && ![...this.asked.values()].some((a) => a.kind === `page ${room.name}`)) {
      const fields = { room: room.name, after: room.pageAfter(), limit: 100 };
      this.ask("history", fields, (ack: HistoryAck) => room.paged(ack), refused, now, `page ${room.name}`);
    }
  }

  private joined(room: Room, ack: JoinAck): void {
    if (room.phase !== "joining") return;
    this.outbox.fates(room.name, ack.sent ?? {}, this.user?.id ?? "", ack.epoch);
    room.joined(ack);
  }

  private endRoom(room: Room, error: Error | null, reason: string): void {
    this.outbox.end(room.name, error instanceof Refused ? error : null, reason);
    room.end(error);
  }

  private deadline(now: number): number | null {
    const times: (number | null)[] = [this.dialAt, this.patience()];
    if (this.state === "ready") {
      times.push(this.renewAt, this.outbox.deadline((name) => this.rooms.get(name)?.present ?? false, now));
      for (const room of this.rooms.values()) if (room.phase === "apart") times.push(room.retryAt);
    }
    for (const asked of this.asked.values()) {
      times.push(asked.at + ANSWER_MS);
      break;
    }
    const known = times.filter((time) => time !== null);
    return known.length ? Math.min(...known) : null;
  }

  private patience(): number | null {
    if (!this.connected) return null;
    if (this.state !== "ready" || !this.hello) return this.since + HANDSHAKE_MS;
    return this.heard + (this.hello.heartbeat.interval + this.hello.heartbeat.timeout) * 1000;
  }

  private schedule(now: number): void {
    clearTimeout(this.timer);
    const due = this.state === "ended" ? null : this.deadline(now);
    if (due !== null) this.timer = setTimeout(() => this.tick(due), Math.max(0, Math.ceil(due - now)));
  }

  private tick(due: number): void {
    const now = performance.now();
    const { interval = 0 } = this.hello?.heartbeat ?? {};
    // We stood still (a sleeping laptop, a hidden tab): what the server said is not read yet. It gets its timeout anew.
    if (now - due > STALL_MS) this.heard = Math.max(this.heard, now - interval * 1000);
    const oldest = this.asked.values().next().value;
    if (this.dialAt !== null && this.dialAt <= now) this.begin(now);
    else if ((this.patience() ?? Infinity) <= now || (oldest && oldest.at + ANSWER_MS <= now)) this.broken(now);
    else {
      if (this.renewAt !== null && this.renewAt <= now && this.state === "ready") {
        this.renewAt = null;
        this.renew();
      }
      this.settle(now);
    }
  }
}

function socketUrl(address: string): string {
  const url = new URL(address);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.pathname === "/") url.pathname = "/ws";
  return url.href;
}

/** A frame; its shape is known by its `type` only. */
function parse(data: string): any {
  try {
    const frame = JSON.parse(data);
    return typeof frame === "object" ? frame : null;
  } catch {
    return null;
  }
}

/** crypto.randomUUID exists in secure contexts only; a team's server may be plain http in its own network. */
export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
