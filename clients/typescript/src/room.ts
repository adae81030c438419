// One room as its listener sees it: every message once and in order, and a Gap where some are gone for good.
//
//   apart --join written--> joining --ack--> live, or filling where the reply left out what is still kept
//   live --a hole in the pushes--> filling --pages of history--> live
//   live --another epoch--> apart     any --connection lost--> apart     any --left, refused--> ended
//
// `position` is the last message that was handed out; while pages are fetched, pushes only move `head`.

import type { Gap, HistoryAck, JoinAck, Message, Position, RoomEvent, User } from "./types.js";

export class Room {
  phase: "apart" | "joining" | "live" | "filling" | "ended" = "apart";
  position: Position | null;
  retryAt = 0;
  /** Who is in the room, by user id, as far as the server last said. */
  readonly members = new Map<string, User>();
  memberCount = 0;
  private head = 0;
  private headAsked = 0;

  constructor(
    readonly name: string,
    since: Position | null,
    private readonly emit: (event: RoomEvent) => void,
  ) {
    this.position = since;
  }

  get present(): boolean {
    return this.phase === "live" || this.phase === "filling";
  }

  joined(ack: JoinAck): void {
    this.members.clear();
    for (const user of ack.members ?? []) this.members.set(user.id, user);
    this.memberCount = ack.member_count ?? this.members.size;
    const since = this.position;
    this.head = ack.seq;
    this.phase = "live";
    if (since === null) {
      this.position = { epoch: ack.epoch, seq: (ack.messages[0]?.seq ?? ack.seq + 1) - 1 };
      this.advance(ack.messages);
    } else if (ack.epoch !== since.epoch || ack.gap?.reason === "epoch") {
      const last = ack.gap?.to ?? (ack.messages[0]?.seq ?? ack.seq + 1) - 1;
      this.gap({ type: "gap", room: this.name, first: ack.gap?.from ?? 1, last, reason: "epoch" });
      this.position = { epoch: ack.epoch, seq: Math.max(0, last) };
      this.advance(ack.messages);
    } else if (!ack.gap) {
      this.advance(ack.messages);
    } else if (ack.gap.reason === "retention") {
      this.miss(ack.gap.to);
      this.advance(ack.messages);
    } // with "limit" the rest is still kept: it comes page by page
    this.catchUp();
    this.emit({ type: "joined", room: this.name });
  }

  pushed(message: Message): void {
    if (!this.present || this.position === null) return;
    if (message.epoch !== this.position.epoch) {
      this.phase = "apart"; // a join says what happened to the numbering
      return;
    }
    this.head = Math.max(this.head, message.seq);
    if (this.phase === "live") {
      this.advance([message]);
      this.catchUp();
    }
  }

  /** A page is asked for now: the `seq` after which it begins. */
  pageAfter(): number {
    this.headAsked = this.head;
    return this.position?.seq ?? 0;
  }

  paged(ack: HistoryAck): void {
    if (this.phase !== "filling" || this.position === null) return;
    const { epoch, seq } = this.position;
    if ((ack.epoch ?? epoch) !== epoch || ack.messages.some((message) => message.epoch !== epoch)) {
      this.phase = "apart";
      return;
    }
    const later = ack.messages.filter((message) => message.seq > seq);
    if (later[0]) this.miss(later[0].seq - 1);
    this.advance(later);
    if (ack.complete || !later.length) this.miss(this.headAsked);
    this.catchUp();
  }

  presence(joined: User[], left: User[], count: number | undefined): void {
    for (const user of left) this.members.delete(user.id);
    for (const user of joined) this.members.set(user.id, user);
    this.memberCount = count ?? this.members.size;
    this.emit({ type: "presence", room: this.name, joined, left });
  }

  other(event: RoomEvent): void {
    if (this.present) this.emit(event);
  }

  apart(retryAt = 0): void {
    if (this.phase !== "ended") {
      this.phase = "apart";
      this.retryAt = retryAt;
    }
  }

  end(error: Error | null): void {
    if (this.phase !== "ended") {
      this.phase = "ended";
      this.emit({ type: "ended", room: this.name, error });
    }
  }

  private advance(messages: Message[]): void {
    for (const message of messages) {
      if (this.position === null || message.seq <= this.position.seq) continue;
      if (message.seq !== this.position.seq + 1) return; // a hole: catchUp() sees it
      this.position = { epoch: message.epoch, seq: message.seq };
      this.emit(message);
    }
  }

  private catchUp(): void {
    this.phase = this.position !== null && this.position.seq >= this.head ? "live" : "filling";
  }

  private miss(last: number): void {
    if (this.position === null || last <= this.position.seq) return;
    this.gap({ type: "gap", room: this.name, first: this.position.seq + 1, last, reason: "retention" });
    this.position = { epoch: this.position.epoch, seq: last };
  }

  private gap(gap: Gap): void {
    this.emit(gap);
  }
}
