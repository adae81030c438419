// What a program sees (events, outcomes, errors) and what travels (frames). Values only.

export interface User {
  readonly id: string;
  readonly name: string;
}

/** A place in a room: `seq` counts from 1 without holes within an `epoch`. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

export interface Message {
  readonly type: "message";
  readonly room: string;
  readonly seq: number;
  readonly epoch: string;
  readonly mid: string;
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
  readonly user: User;
  readonly text: string;
  readonly cid?: string | null;
  readonly deleted?: boolean;
}

/** Messages `first` to `last`, both included, are gone for good; with "epoch" how many more, nobody knows. */
export interface Gap {
  readonly type: "gap";
  readonly room: string;
  readonly first: number;
  readonly last: number;
  readonly reason: "retention" | "epoch";
}

/** Something happened in the room's evaluation `id`. Judges and answers are letters; `n` counts without holes. */
export interface EvaluationPush {
  readonly type: "evaluation";
  readonly room: string;
  readonly id: string;
  readonly n: number;
  readonly event: string;
  readonly judge?: string;
  readonly answer?: string;
  readonly status?: string;
  readonly score?: number | null;
  readonly reason?: string | null;
  readonly offset?: number;
  readonly text?: string;
  readonly state?: string;
}

/** Whether a message is of the server's own users: a model, or the server's voice. Nobody can sign in as one. */
export function isOurs(user: User): boolean {
  return user.id.startsWith("~");
}

export type RoomEvent =
  | Message
  | EvaluationPush
  | Gap
  | { readonly type: "joined"; readonly room: string }
  | { readonly type: "presence"; readonly room: string; readonly joined: User[]; readonly left: User[] }
  | { readonly type: "typing"; readonly room: string; readonly user: User }
  | { readonly type: "deleted"; readonly room: string; readonly seq: number; readonly epoch: string }
  | { readonly type: "ended"; readonly room: string; readonly error: Error | null };

/** The message has its place in the room. `mid` and `time` are absent where only a rejoin confirmed it. */
export interface Stored {
  readonly room: string;
  readonly cid: string;
  readonly seq: number;
  readonly epoch: string;
  readonly mid?: string;
  readonly time?: number;
  readonly durability?: "memory" | "disk" | "replicated";
}

export type State = "idle" | "waiting" | "renewing" | "dialling" | "greeting" | "entering" | "ready" | "ended";

/** Where to, and as whom. */
export interface LinkOptions {
  /** `http://host:port` or `ws://host:port/ws`; https and wss for TLS. */
  url: string;
  /** A guest's name; either this or `token`. */
  name?: string;
  /** A guest's secret from an earlier `chat.session`, to be the same user again. */
  session?: string | null;
  /** Fetches a token whenever one is needed. */
  token?: () => Promise<string>;
  /** Where there is no global one. */
  WebSocket?: typeof WebSocket;
  backoffBaseMs?: number;
  backoffCapMs?: number;
  random?: () => number;
}

/** The server said no; nothing was stored. `code` is stable, the message is for people. */
export class Refused extends Error {
  override readonly name: string = "Refused";
  constructor(
    readonly code: string,
    message: string,
    readonly retryable = false,
    readonly retryAfterMs: number | null = null,
    readonly scope: string | null = null,
  ) {
    super(message);
  }
}

/** The client gave the message up before it was written; surely not stored. */
export class NotSent extends Refused {
  override readonly name = "NotSent";
  constructor(message: string) {
    super("not_sent", message);
  }
}

/** The message was written and nobody can say any more whether it was stored. */
export class Unknown extends Error {
  override readonly name = "Unknown";
  constructor(
    readonly room: string,
    readonly cid: string,
    reason: string,
  ) {
    super(`Nobody can say whether the message was stored: ${reason}.`);
  }
}

/** The connection ended for good. */
export class Closed extends Error {
  override readonly name = "Closed";
  constructor(
    readonly code: number | null,
    reason: string,
    readonly error: Refused | null = null,
  ) {
    super(error?.message ?? (reason || "The connection was closed."));
  }
}

// ---- frames: only what this client reads ----------------------------------------------------------------------

export interface Hello {
  type: "hello";
  protocol: number;
  time: number;
  heartbeat: { interval: number; timeout: number };
  limits?: { text_chars?: number; messages?: number | null; per_seconds?: number };
}

export interface JoinAck {
  epoch: string;
  seq: number;
  messages: Message[];
  members?: User[];
  member_count?: number;
  gap?: { from: number; to: number; reason: "retention" | "epoch" | "limit" } | null;
  sent?: Record<string, { seq: number } | null>;
}

export interface HistoryAck {
  messages: Message[];
  complete: boolean;
  epoch?: string;
}

export interface SendAck {
  seq: number;
  epoch: string;
  mid: string;
  time: number;
  duplicate?: boolean;
  durability?: "memory" | "disk" | "replicated";
}

export interface ErrorFrame {
  type: "error";
  re: string | null;
  code: string;
  message: string;
  retryable?: boolean;
  retry_after_ms?: number | null;
  scope?: string | null;
}
