// One connection after the other: dials, says who we are, keeps alive, renews tokens, and asks with one answer each.
//
//   idle > dialling > greeting > entering > ready, and from each of them on a loss: waiting, renewing or ended, as the
//   range of the close code asks: 4000-4099 stop, 4100-4199 back off, 4200-4299 at once or at the notice's time,
//   4300-4399 with a new token; all others back off. The wait is drawn evenly from 0 to a ceiling that doubles.
//
// Everything is driven by the socket's events and one timer. What the answers mean is told by who inherits it.

import { Closed, type ErrorFrame, type Hello, type LinkOptions, Refused, type State, type User } from "./types.js";
import { parse, socketUrl } from "./wire.js";

type Asked = { kind: string; at: number; ack: (frame: never, now: number) => void; error: (error: Refused, now: number) => void };

const HANDSHAKE_MS = 10_000;
const ANSWER_MS = 30_000;
const STABLE_MS = 10_000;
const STALL_MS = 1_000;
const RENEW_BEFORE_MS = 30_000;

export abstract class Link {
  state: State = "idle";
  user: User | null = null;
  session: string | null;
  /** Why it ended, where the program did not want it. */
  error: Closed | null = null;
  /** The newest error that answered no request of the program. */
  lastError: Refused | null = null;
  /** When the next attempt is made (by `performance.now()`), while waiting. */
  dialAt: number | null = null;

  protected readonly asked = new Map<string, Asked>();
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

  constructor(private readonly identity: LinkOptions) {
    if ((identity.name === undefined) === (identity.token === undefined)) {
      throw new Error("Give either a guest's name or a token.");
    }
    this.session = identity.session ?? null;
    this.random = identity.random ?? Math.random;
  }

  // ---- what inherits it is told -----------------------------------------------------------------------------------

  protected abstract moved(state: State): void;
  protected abstract greeted(hello: Hello): void;
  /** There is no connection any more; `inDoubt` says whether questions were left without an answer. */
  protected abstract hung(inDoubt: boolean): void;
  protected abstract over(error: Closed | null): void;
  /** A push; its shape is known by its `type` only, and a type of a later version is to be passed over. */
  protected abstract pushed(frame: any): void;
  /** After every input while ready: write what can be written. */
  protected abstract work(now: number): void;
  /** When `work` has something to do without an input. */
  protected abstract deadlines(now: number): (number | null)[];

  // ---- the connection ---------------------------------------------------------------------------------------------

  protected begin(now: number): void {
    if (this.identity.token && this.token === null) this.renew();
    else this.dial(now);
  }

  private dial(now: number): void {
    const Socket = this.identity.WebSocket ?? WebSocket;
    const socket = new Socket(socketUrl(this.identity.url));
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
    this.moved(state);
  }

  private get connected(): boolean {
    return ["dialling", "greeting", "entering", "ready"].includes(this.state);
  }

  private lost(code: number | null, reason: string, now: number): void {
    const ready = this.state === "ready";
    if (ready && now - this.since >= STABLE_MS) this.attempt = 0;
    this.hang();
    const range = code === null ? 0 : Math.floor(code / 100);
    if (range === 40 || (range === 43 && !this.identity.token)) {
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
    const { backoffBaseMs = 500, backoffCapMs = 30_000 } = this.identity;
    return this.random() * Math.min(backoffCapMs, backoffBaseMs * 2 ** Math.min(this.attempt++, 30));
  }

  private hang(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    const inDoubt = this.asked.size > 0;
    this.asked.clear();
    this.hung(inDoubt);
  }

  private wait(until: number, now: number): void {
    this.dialAt = until;
    this.move("waiting");
    this.settle(now);
  }

  protected end(error: Closed | null): void {
    if (this.state === "ended") return;
    this.hang();
    this.error = error;
    clearTimeout(this.timer);
    this.move("ended");
    this.over(error);
  }

  private renew(): void {
    if (this.state !== "ready") this.move("renewing");
    this.identity.token?.().then(
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
    switch (frame.type) {
      case "ack":
        this.answered(frame.re)?.ack(frame as never, now);
        break;
      case "error":
        this.refused(frame, now);
        break;
      case "ping":
        this.write({ type: "pong" });
        break;
      case "hello":
        this.hear(frame, now);
        break;
      case "notice":
        if (frame.code === "shutdown" && typeof frame.after_ms === "number") this.resumeAt = now + frame.after_ms;
        if (frame.code === "token_expiring" && this.identity.token) this.renewAt = now;
        break;
      default:
        this.pushed(frame);
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

  private hear(hello: Hello, now: number): void {
    this.hello = hello;
    this.helloAt = now;
    this.lastError = null;
    this.greeted(hello);
    this.move("entering");
    this.auth(now);
  }

  private auth(now: number): void {
    const fields = this.token !== null ? { token: this.token } : { name: this.identity.name, session: this.session };
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
    if (ack.expires && this.identity.token && this.hello) {
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
    } else if (this.identity.token && this.tokenTries++ < 2) {
      this.hang();
      this.move("renewing");
      this.renew();
    } else {
      this.end(new Closed(null, "The server refused the identity.", error));
    }
  }

  protected ask<A>(
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

  // ---- time -----------------------------------------------------------------------------------------------------

  protected settle(now: number): void {
    if (this.state === "ready") this.work(now);
    this.schedule(now);
  }

  private deadline(now: number): number | null {
    const times: (number | null)[] = [this.dialAt, this.patience()];
    if (this.state === "ready") times.push(this.renewAt, ...this.deadlines(now));
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
