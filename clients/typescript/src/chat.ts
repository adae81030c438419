// The client: joins its rooms again with `since` and `sent` on each new connection, and settles every message.
//
// Listeners are called synchronously and must not throw. How a connection is made and kept is link.ts's business.

import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { Room } from "./room.js";
import {
  Closed,
  type Hello,
  type HistoryAck,
  type JoinAck,
  type LinkOptions,
  type Position,
  Refused,
  type RoomEvent,
  type SendAck,
  type State,
  type Stored,
} from "./types.js";

export interface Options extends LinkOptions {
  /** Called on every change of the link. */
  onState?: (state: State, chat: Chat) => void;
  /** Messages waiting to be settled; more are refused. */
  outbox?: number;
}

export class Chat extends Link {
  private readonly rooms = new Map<string, Room>();
  private readonly outbox: Outbox;
  private readonly prefix = randomId();
  private sends = 0;

  constructor(private readonly options: Options) {
    super(options);
    this.outbox = new Outbox(options.outbox ?? 1000);
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
  send(room: string, text: string, cid = `${this.prefix}-${++this.sends}`): Promise<Stored> {
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

  // ---- what the link tells --------------------------------------------------------------------------------------

  protected moved(state: State): void {
    this.options.onState?.(state, this);
  }

  protected greeted(hello: Hello): void {
    this.outbox.limit(hello.limits?.messages ?? null, hello.limits?.per_seconds ?? 1);
  }

  protected hung(inDoubt: boolean): void {
    if (inDoubt) this.outbox.lost();
    for (const room of this.rooms.values()) room.apart();
  }

  protected over(error: Closed | null): void {
    for (const room of [...this.rooms.values()]) this.endRoom(room, error, "the connection ended");
    this.rooms.clear();
  }

  protected pushed(frame: any): void {
    const room = this.rooms.get(frame.room);
    switch (frame.type) {
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
      default: // of a later version
    }
  }

  protected work(now: number): void {
    for (const room of this.rooms.values()) this.tend(room, now);
    for (let due = this.due(now); due.length; due = this.due(now)) for (const entry of due) this.speak(entry, now);
  }

  protected deadlines(now: number): (number | null)[] {
    const rooms = [...this.rooms.values()].filter((room) => room.phase === "apart").map((room) => room.retryAt);
    return [this.outbox.deadline((name) => this.rooms.get(name)?.present ?? false, now), ...rooms];
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
}

/** crypto.randomUUID exists in secure contexts only; a team's server may be plain http in its own network. */
export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
