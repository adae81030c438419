// Everything the page shows, and the one place that changes it. Talks to the server through the SDK only.
//
// The name and the guest's session, or the token, live in the tab (sessionStorage): a reload is the same user, a second
// tab may be another one. The name last used is remembered to be offered again; a token is not.

import { Evaluations } from "./reviews/store";
import { Chat, Closed, type Gap, type Message, randomId, Refused, type Room, type RoomEvent, type State, type User } from "palaver-client";

export type Line = Message | Gap;

/** A message of ours that is not in the log yet. */
export interface Pending {
  readonly cid: string;
  readonly text: string;
  readonly state: "sending" | "refused" | "unknown";
  readonly why: string;
}

export interface RoomView {
  readonly room: Room;
  readonly lines: Line[];
  pending: Pending[];
  unread: number;
  readonly typing: Map<string, { name: string; timer: number }>;
  draft: string;
}

const KEPT_LINES = 1000;
const TYPING_MS = 4000;
const EVALUATIONS = /^#\/evaluations(?:\/([\w-]+))?$/; // no room's name has a slash
const ROOM_NAME = /^[\p{L}\p{N}\-_.:~@+]{1,64}$/u;

export class Store {
  chat: Chat | null = null;
  state: State = "idle";
  /** Whether the link was lost since the page last showed that it is back. */
  recovered = false;
  problem = "";
  /** The way in asks for a token: the server has no guests, or somebody prefers it. */
  wantsToken = false;
  readonly rooms = new Map<string, RoomView>();
  current = "lobby";
  /** The evaluations' page instead of the room: an id, "" for the list, null for the room. */
  evaluation: string | null = null;
  readonly evaluations: Evaluations;
  private listener: () => void = () => {};
  private drawing = false;
  private typedAt = 0;
  private wasReady = false;

  constructor(
    private readonly server: string,
    private readonly tab: Storage,
    private readonly browser: Storage,
  ) {
    this.evaluations = new Evaluations(
      server,
      () => this.chat?.session ?? this.tab.getItem("token"),
      () => this.changed(),
    );
  }

  /** The one listener; called at most once per frame. */
  subscribe(listener: () => void): void {
    this.listener = listener;
    const name = this.tab.getItem("name");
    const token = this.tab.getItem("token");
    if (token !== null) this.enterWith(token);
    else if (name !== null) this.enter(name);
    this.changed();
  }

  get suggestedName(): string {
    return this.browser.getItem("name") ?? "";
  }

  get user(): User | null {
    return this.chat?.user ?? null;
  }

  get view(): RoomView | undefined {
    return this.rooms.get(this.current);
  }

  /** Become a guest with this name. */
  enter(name: string): void {
    const keep = (chat: Chat): void => {
      this.tab.setItem("name", name);
      this.browser.setItem("name", name);
      if (chat.session) this.tab.setItem("session", chat.session);
    };
    this.begin(new Chat({ url: this.server, name, session: this.tab.getItem("session"), onState: this.watch(keep) }));
  }

  /** Be whom this token names. */
  enterWith(token: string): void {
    this.wantsToken = true;
    const keep = (): void => this.tab.setItem("token", token);
    this.begin(new Chat({ url: this.server, token: () => Promise.resolve(token), onState: this.watch(keep) }));
  }

  /** Ask for a token instead of a name, or the other way round. */
  ask(wantsToken: boolean): void {
    this.wantsToken = wantsToken;
    this.problem = "";
    this.changed();
  }

  /** Forget who this tab was. */
  exit(): void {
    this.chat?.close();
    this.chat = null;
    this.state = "idle";
    this.problem = "";
    this.rooms.clear();
    for (const key of ["name", "session", "token", "rooms"]) this.tab.removeItem(key);
    this.changed();
  }

  /** Go to the room that the address names. */
  follow(hash: string): void {
    const evaluation = EVALUATIONS.exec(hash);
    this.evaluation = evaluation ? (evaluation[1] ?? "") : null;
    if (evaluation) return this.changed();
    let room = "lobby";
    try {
      room = decodeURIComponent(hash.slice(1)) || "lobby";
    } catch {
      // a hash that is no valid encoding names no room
    }
    if (ROOM_NAME.test(room)) this.show(room);
  }

  show(name: string): void {
    this.current = name;
    if (this.chat !== null) this.open(name);
    const view = this.view;
    if (view) view.unread = 0;
    this.changed();
  }

  leave(name: string): void {
    this.chat?.leave(name);
    this.rooms.delete(name);
    this.remember();
    if (name === this.current) location.hash = [...this.rooms.keys()][0] ?? "lobby";
    this.changed();
  }

  say(text: string): void {
    const view = this.view;
    if (!view || !this.chat || text.trim() === "") return;
    view.draft = "";
    this.post(view, text, randomId());
  }

  /** Say once more what was refused, or what may not have arrived: with the same `cid`, so it can stand there once only. */
  again(pending: Pending): void {
    const view = this.view;
    if (!view) return;
    view.pending = view.pending.filter((each) => each !== pending);
    this.post(view, pending.text, pending.cid);
  }

  dismiss(pending: Pending): void {
    const view = this.view;
    if (view) view.pending = view.pending.filter((each) => each !== pending);
    this.changed();
  }

  draft(text: string): void {
    const view = this.view;
    if (!view) return;
    view.draft = text;
    const now = performance.now();
    if (text !== "" && now - this.typedAt > TYPING_MS / 2) {
      this.typedAt = now;
      this.chat?.typing(this.current);
    }
    this.changed();
  }

  retry(): void {
    this.chat?.retry();
  }

  private begin(chat: Chat): void {
    this.problem = "";
    this.chat?.close();
    this.rooms.clear();
    this.wasReady = this.recovered = false;
    this.chat = chat;
    for (const room of this.remembered()) this.open(room);
    chat.start();
  }

  private open(name: string): void {
    if (!this.chat || this.rooms.has(name)) return;
    const lines: Line[] = [];
    const listener = (event: RoomEvent): void => this.heard(name, event);
    const room = this.chat.join(name, listener);
    this.rooms.set(name, { room, lines, pending: [], unread: 0, typing: new Map(), draft: "" });
    this.remember();
  }

  private post(view: RoomView, text: string, cid: string): void {
    const waiting: Pending = { cid, text, state: "sending", why: "" };
    view.pending = [...view.pending, waiting];
    this.changed();
    this.chat?.send(view.room.name, text, cid).then(
      () => {}, // it leaves `pending` when it stands in the log
      (error: unknown) => {
        if (error instanceof Closed) return;
        const failed: Pending = {
          ...waiting,
          state: error instanceof Refused ? "refused" : "unknown",
          why: error instanceof Error ? error.message : String(error),
        };
        view.pending = view.pending.map((each) => (each === waiting ? failed : each));
        this.changed();
      },
    );
  }

  /** Follow the state of a chat; `keep` remembers in the tab who it is, once the server has agreed. */
  private watch(keep: (chat: Chat) => void): (state: State, chat: Chat) => void {
    return (state, chat) => {
      this.state = state;
      if (state === "ready") {
        this.recovered = this.wasReady;
      this.evaluations.refresh();
        this.wasReady = true;
        keep(chat);
      } else if (state === "ended" && chat.error !== null) {
        this.problem = chat.error.message;
        if (!this.wasReady) {
          this.wantsToken = this.wantsToken || chat.error.error?.code === "unauthenticated";
          this.chat = null;
          for (const key of ["name", "token"]) this.tab.removeItem(key);
        }
      }
      this.changed();
    };
  }

  private heard(name: string, event: RoomEvent): void {
    const view = this.rooms.get(name);
    if (!view) return;
    switch (event.type) {
      case "message":
        view.typing.delete(event.user.id);
        view.pending = view.pending.filter((each) => each.cid !== event.cid);
        if (name !== this.current || document.hidden) view.unread++;
        this.add(view, event);
        break;
      case "gap":
        this.add(view, event);
        break;
      case "deleted": {
        const index = view.lines.findIndex((line) => line.type === "message" && line.seq === event.seq);
        const line = view.lines[index];
        if (line?.type === "message") view.lines[index] = { ...line, text: "", deleted: true };
        break;
      }
      case "typing":
        if (event.user.id !== this.user?.id) this.types(view, event.user);
        break;
      case "ended":
        if (event.error !== null && !(event.error instanceof Closed)) {
          this.problem = `${name}: ${event.error.message}`;
          this.rooms.delete(name);
          this.remember();
        }
        break;
      case "evaluation":
        this.evaluations.hear(event);
        break;
      case "joined":
      case "presence":
        break; // the members are read from the room
    }
    this.changed();
  }

  private add(view: RoomView, line: Line): void {
    view.lines.push(line);
    if (view.lines.length > KEPT_LINES) view.lines.splice(0, view.lines.length - KEPT_LINES);
  }

  private types(view: RoomView, user: User): void {
    clearTimeout(view.typing.get(user.id)?.timer);
    const timer = window.setTimeout(() => {
      view.typing.delete(user.id);
      this.changed();
    }, TYPING_MS);
    view.typing.set(user.id, { name: user.name, timer });
  }

  private remembered(): string[] {
    const rooms = (this.tab.getItem("rooms") ?? "").split(" ").filter((room) => ROOM_NAME.test(room));
    return [...new Set([...rooms, this.current])];
  }

  private remember(): void {
    this.tab.setItem("rooms", [...this.rooms.keys()].join(" "));
  }

  private changed(): void {
    if (this.drawing) return;
    this.drawing = true;
    queueMicrotask(() => {
      this.drawing = false;
      this.listener();
    });
  }
}
