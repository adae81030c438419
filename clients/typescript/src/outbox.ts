// What has been said and is not settled yet. Each message ends exactly once: Stored, Refused or Unknown.
//
//   queued --written--> flying --ack--> Stored
//   flying --refused, retryable--> queued, after the wait        flying --refused--> Refused
//   flying --connection lost--> doubt
//   doubt --rejoin: stored--> Stored     doubt --rejoin: not stored, same user and epoch--> queued
//   doubt --rejoin cannot know--> Unknown
//
// A room's messages are written one after the other, in the order they were said. The server's rate limit is mirrored
// here, so that a user with one connection is not refused for it. Knows no sockets and no clock: `now` is in ms.

import { NotSent, Refused, type Stored, Unknown } from "./types.js";

export interface Entry {
  readonly room: string;
  readonly text: string;
  readonly cid: string;
  readonly settle: (outcome: Stored | Refused | Unknown) => void;
  state: "queued" | "flying" | "doubt";
  tries: number;
  user: string;
  epoch: string;
}

const RETRY_MS = 1000;
const INTERNAL_TRIES = 5;

export class Outbox {
  private readonly entries: Entry[] = [];
  private pausedUntil = 0;
  private readonly roomPausedUntil = new Map<string, number>();
  private accepted: number[] = [];
  private messages: number | null = null;
  private perMs = 1000;

  constructor(private readonly capacity: number) {}

  limit(messages: number | null, perSeconds: number): void {
    this.messages = messages;
    this.perMs = perSeconds * 1000;
  }

  post(entry: Entry): void {
    if (this.entries.length >= this.capacity) {
      throw new Error(`${this.capacity} messages are waiting already: await some of them first.`);
    }
    this.entries.push(entry);
  }

  /** The first message of each open room that may be written now. */
  due(open: (room: string) => boolean, now: number): Entry[] {
    if (this.wait(now) > now) return [];
    let free = this.free(now);
    return this.heads(open).filter((entry) => (this.roomPausedUntil.get(entry.room) ?? 0) <= now && free-- > 0);
  }

  /** When a message can be written that cannot be written now; null if none waits for the time. */
  deadline(open: (room: string) => boolean, now: number): number | null {
    const pace = this.wait(now);
    const times = this.heads(open).map((entry) => Math.max(pace, this.roomPausedUntil.get(entry.room) ?? 0));
    return times.length ? Math.min(...times) : null;
  }

  written(entry: Entry, user: string, epoch: string): void {
    Object.assign(entry, { state: "flying", user, epoch, tries: entry.tries + 1 });
  }

  acked(entry: Entry, stored: Stored, duplicate: boolean, now: number): void {
    if (!duplicate) this.accepted = [...this.accepted.slice(1 - (this.messages ?? 1)), now];
    this.settle(entry, stored);
  }

  refused(entry: Entry, error: Refused, now: number): void {
    if (!error.retryable || (error.code === "internal" && entry.tries >= INTERNAL_TRIES)) {
      this.settle(entry, error);
      return;
    }
    entry.state = "queued";
    const until = now + (error.retryAfterMs ?? RETRY_MS);
    if (error.scope === "room") this.roomPausedUntil.set(entry.room, until);
    else this.pausedUntil = Math.max(this.pausedUntil, until);
  }

  lost(): void {
    for (const entry of this.entries) if (entry.state === "flying") entry.state = "doubt";
  }

  doubtful(room: string): string[] {
    return this.entries.filter((entry) => entry.room === room && entry.state === "doubt").map((entry) => entry.cid);
  }

  fates(room: string, sent: Record<string, { seq: number } | null>, user: string, epoch: string): void {
    for (const entry of this.entries.filter((each) => each.room === room && each.state === "doubt")) {
      const fate = sent[entry.cid];
      if (fate) this.settle(entry, { room, cid: entry.cid, seq: fate.seq, epoch });
      else if (fate === null && entry.user === user && entry.epoch === epoch) entry.state = "queued";
      else this.settle(entry, new Unknown(room, entry.cid, "the server forgot this user or the room's numbering"));
    }
  }

  /** Settle everything of a room, or of all rooms (null). */
  end(room: string | null, error: Refused | null, reason: string): void {
    for (const entry of this.entries.filter((each) => room === null || each.room === room)) {
      if (entry.state !== "queued") this.settle(entry, new Unknown(entry.room, entry.cid, reason));
      else this.settle(entry, error ?? new NotSent(`The message was not sent: ${reason}.`));
    }
  }

  private settle(entry: Entry, outcome: Stored | Refused | Unknown): void {
    const index = this.entries.indexOf(entry);
    if (index < 0) return;
    this.entries.splice(index, 1);
    entry.settle(outcome);
  }

  /** The first message of each open room, if it is queued: one is in the air at a time. */
  private heads(open: (room: string) => boolean): Entry[] {
    const seen = new Set<string>();
    return this.entries.filter((entry) => {
      if (seen.has(entry.room)) return false;
      seen.add(entry.room);
      return entry.state === "queued" && open(entry.room);
    });
  }

  private recent(now: number): number[] {
    return this.accepted.filter((time) => time > now - this.perMs);
  }

  private free(now: number): number {
    if (this.messages === null) return Infinity;
    const flying = this.entries.filter((entry) => entry.state === "flying").length;
    return this.messages - this.recent(now).length - flying;
  }

  private wait(now: number): number {
    if (this.free(now) > 0) return this.pausedUntil;
    return Math.max(this.pausedUntil, (this.recent(now)[0] ?? now) + this.perMs);
  }
}
