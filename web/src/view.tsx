// What the page looks like: plain functions of the store.

import { type Gap, isOurs, type Message } from "palaver-client";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Entrance } from "./entrance";
import type { Line, Pending, RoomView, Store } from "./store";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

export function App({ store }: { store: Store }) {
  return store.chat === null ? <Entrance store={store} /> : <Inside store={store} />;
}

function Inside({ store }: { store: Store }) {
  const view = store.view;
  const unread = [...store.rooms.values()].reduce((sum, each) => sum + each.unread, 0);
  useEffect(() => {
    document.title = `${unread ? `(${unread}) ` : ""}${store.current} · Palaver`;
  });
  return (
    <div class="app">
      <aside class="side">
        <h1>Palaver</h1>
        <Rooms store={store} />
        <a class="to-evaluations" href="#/evaluations" aria-current={store.evaluation === null ? undefined : "page"}>
          Evaluations
        </a>
        <You store={store} />
      </aside>
      {store.evaluation !== null ? <Evaluations store={store} id={store.evaluation} /> : <RoomPage store={store} view={view} />}
      {view && <Members view={view} you={store.user?.id} />}
    </div>
  );
}

function RoomPage({ store, view }: { store: Store; view: RoomView | undefined }) {
  return (
    <main class="room">
      <header>
        <h2>{store.current}</h2>
        <span class="count">{view ? plural(view.room.memberCount, "member") : ""}</span>
      </header>
      <Status store={store} />
      {view && <Log key={store.current} view={view} store={store} />}
      {view && <Running view={view} store={store} />}
      {view && <Composer key={`${store.current} composer`} view={view} store={store} />}
    </main>
  );
}

function Evaluations({ store, id }: { store: Store; id: string }) {
  const views = useReviews();
  if (views === null) return <main class="page" />;
  const { EvaluationPage, EvaluationList } = views;
  return id ? <EvaluationPage key={id} id={id} evaluations={store.evaluations} /> : <EvaluationList evaluations={store.evaluations} />;
}

/** The card of the room's evaluation stays in sight while it runs; afterwards it stands where it was asked. */
function Running({ view, store }: { view: RoomView; store: Store }) {
  const views = useReviews(runningId(view, store) !== null);
  const id = runningId(view, store);
  if (id === null || views === null) return null;
  return (
    <div class="running">
      <views.EvaluationCard id={id} evaluations={store.evaluations} />
    </div>
  );
}

function runningId(view: RoomView, store: Store): string | null {
  const line = view.lines.findLast((each) => each.type === "message" && isOurs(each.user) && each.cid?.endsWith(":started"));
  const id = line?.type === "message" ? line.cid?.split(":")[0] : undefined;
  return id !== undefined && store.evaluations.get(id)?.revealed === false ? id : null;
}

type Reviews = typeof import("./reviews/view");
let reviews: Reviews | null = null;

/** What shows evaluations and Markdown, which most pages never need: loaded when it is first shown. */
function useReviews(wanted = true): Reviews | null {
  const [views, loaded] = useState(() => reviews);
  useEffect(() => {
    if (views !== null || !wanted) return;
    void import("./reviews/view").then((module) => {
      reviews = module;
      loaded(() => module);
    });
  }, [views, wanted]);
  return views;
}

function Rooms({ store }: { store: Store }) {
  const [name, setName] = useState("");
  return (
    <nav aria-label="Rooms">
      <ul>
        {[...store.rooms].map(([room, view]) => (
          <li key={room} class={room === store.current ? "current" : ""}>
            <a href={`#${encodeURIComponent(room)}`} aria-current={room === store.current ? "page" : undefined}>
              {room}
              {view.unread > 0 && <b aria-label={`${view.unread} unread`}>{view.unread}</b>}
            </a>
            <button type="button" class="quiet" title={`Leave ${room}`} aria-label={`Leave ${room}`} onClick={() => store.leave(room)}>
              ×
            </button>
          </li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) location.hash = encodeURIComponent(name.trim());
          setName("");
        }}
      >
        <input
          value={name}
          placeholder="Join a room"
          aria-label="Join a room"
          maxLength={64}
          pattern="[\p{L}\p{N}\-_.:~@+]+"
          title="Letters, digits and - _ . : ~ @ +"
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </form>
    </nav>
  );
}

function You({ store }: { store: Store }) {
  return (
    <p class="you">
      <span class="name">{store.user?.name ?? "…"}</span>
      <button type="button" class="quiet" onClick={() => store.exit()}>
        Sign out
      </button>
    </p>
  );
}

/** The state of the connection, in words, where it is not simply good. */
function Status({ store }: { store: Store }) {
  const { state, chat } = store;
  const waiting = state === "waiting" && chat?.dialAt != null;
  const seconds = useSeconds(waiting && chat?.dialAt != null ? chat.dialAt : null);
  const fading = useFading(state === "ready" && store.recovered);
  const text =
    state === "ended"
      ? store.problem || "The connection is closed."
      : waiting
        ? `Connection lost. Trying again${seconds > 0 ? ` in ${seconds} s` : ""}. What you write is kept.`
        : state !== "ready"
          ? "Connecting…"
          : fading
            ? "Connected again. Nothing was lost but what is marked."
            : store.problem;
  return (
    <div class={`status ${state === "ready" ? (fading ? "good" : "") : "bad"}`} role="status" data-state={state}>
      {text}
      {waiting && (
        <button type="button" onClick={() => store.retry()}>
          Reconnect now
        </button>
      )}
    </div>
  );
}

function useSeconds(until: number | null): number {
  const [, turn] = useState(0);
  useEffect(() => {
    if (until === null) return;
    const timer = setInterval(() => turn((count) => count + 1), 500);
    return () => clearInterval(timer);
  }, [until]);
  return until === null ? 0 : Math.max(0, Math.ceil((until - performance.now()) / 1000));
}

function useFading(on: boolean): boolean {
  const [shown, show] = useState(false);
  useEffect(() => {
    show(on);
    if (!on) return;
    const timer = setTimeout(() => show(false), 5000);
    return () => clearTimeout(timer);
  }, [on]);
  return shown;
}

function Log({ view, store }: { view: RoomView; store: Store }) {
  const log = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const last = view.lines[view.lines.length - 1];
  const lastSeq = last?.type === "message" ? last.seq : last?.last;
  useLayoutEffect(() => {
    if (log.current && atEnd.current) log.current.scrollTop = log.current.scrollHeight;
  }, [lastSeq, view.lines.length, view.pending.length]);
  const names = [...view.typing.values()].map((each) => each.name);
  return (
    <>
      <div
        class="log"
        ref={log}
        role="log"
        aria-label={`Messages in ${view.room.name}`}
        tabIndex={0}
        onScroll={({ currentTarget: box }) => {
          atEnd.current = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
        }}
      >
        {view.lines.length === 0 && view.pending.length === 0 && view.room.present && (
          <p class="empty">Nobody has said anything here yet.</p>
        )}
        {view.lines.map((line, index) =>
          line.type === "gap" ? (
            <GapLine key={`gap ${index} ${line.last}`} gap={line} />
          ) : (
            <MessageLine
              key={`${line.epoch} ${line.seq}`}
              message={line}
              follows={follows(view.lines[index - 1], line)}
              mine={line.user.id === store.user?.id}
              store={store}
            />
          ),
        )}
        {view.pending.map((pending) => (
          <PendingLine key={pending.cid} pending={pending} store={store} />
        ))}
      </div>
      <p class="typing" aria-live="off">
        {names.length > 0 && `${names.slice(0, 3).join(", ")} ${names.length === 1 ? "is" : "are"} writing…`}
      </p>
    </>
  );
}

/** Whether a message needs no name of its own: the same person, shortly after. */
function follows(before: Line | undefined, message: Message): boolean {
  return before?.type === "message" && before.user.id === message.user.id && message.time - before.time < 300_000;
}

interface Said {
  message: Message;
  follows: boolean;
  mine: boolean;
  store: Store;
}

function MessageLine({ message, follows, mine, store }: Said) {
  const time = new Date(message.time);
  if (isOurs(message.user) && !message.deleted) return <OurLine message={message} time={time} store={store} />;
  return (
    <article class={`message ${follows ? "follows" : ""} ${mine ? "mine" : ""}`} data-seq={message.seq}>
      <header>
        <span class="name">{message.user.name}</span>
        <time dateTime={time.toISOString()}>{clock.format(time)}</time>
      </header>
      <p class={message.deleted ? "deleted" : ""}>{message.deleted ? "This message was removed." : message.text}</p>
    </article>
  );
}

/** A message of a model or of the server's voice: Markdown, and under the first one of an evaluation its card. */
function OurLine({ message, time, store }: { message: Message; time: Date; store: Store }) {
  const views = useReviews();
  const [id = "", part = ""] = (message.cid ?? "").split(":");
  const members = part.length > 0 && part.length < 4 ? store.evaluations.get(id)?.members : undefined;
  const name = members?.find((each) => each.letter === part)?.name;
  return (
    <article class="message ours" data-seq={message.seq}>
      <header>
        <span class="name">
          {message.user.name}
          {name && <small> {name}</small>}
        </span>
        <time dateTime={time.toISOString()}>{clock.format(time)}</time>
      </header>
      {views ? <views.Markdown text={message.text} /> : <p>{message.text}</p>}
      {views && part === "started" && store.evaluations.get(id)?.revealed !== false && (
        <views.EvaluationCard id={id} evaluations={store.evaluations} />
      )}
    </article>
  );
}

function GapLine({ gap }: { gap: Gap }) {
  const count = gap.last - gap.first + 1;
  const text =
    gap.reason === "epoch" ? "This room started anew; earlier messages are not available" : `${plural(count, "message")} not available`;
  return (
    <p class="gap" role="note">
      <span>{text}</span>
    </p>
  );
}

function PendingLine({ pending, store }: { pending: Pending; store: Store }) {
  const note = { sending: "Sending…", refused: "Not sent:", unknown: "May not have arrived:" }[pending.state];
  return (
    <article class={`message mine pending ${pending.state}`}>
      <p>{pending.text}</p>
      <p class="note">
        {note} {pending.why}
        {pending.state !== "sending" && (
          <>
            <button type="button" class="quiet" onClick={() => store.again(pending)}>
              Send again
            </button>
            <button type="button" class="quiet" onClick={() => store.dismiss(pending)}>
              Dismiss
            </button>
          </>
        )}
      </p>
    </article>
  );
}

function Composer({ view, store }: { view: RoomView; store: Store }) {
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => box.current?.focus(), []);
  useLayoutEffect(() => {
    if (!box.current) return;
    box.current.style.height = "auto";
    box.current.style.height = `${Math.min(box.current.scrollHeight, 200)}px`;
  }, [view.draft]);
  const send = (): void => store.say(view.draft);
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={box}
        rows={1}
        value={view.draft}
        maxLength={4000}
        placeholder={`Write to ${view.room.name}`}
        aria-label={`Message to ${view.room.name}`}
        onInput={(event) => store.draft(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      <button
        type="button"
        class="quiet"
        title="Put it as a question to the models"
        disabled={view.draft.trim() === "" || view.draft.startsWith("/")}
        onClick={() => store.say(`/ask ${view.draft}`)}
      >
        Ask
      </button>
      <button type="submit" disabled={view.draft.trim() === ""}>
        Send
      </button>
    </form>
  );
}

function Members({ view, you }: { view: RoomView; you: string | undefined }) {
  const members = [...view.room.members.values()].sort((one, other) => one.name.localeCompare(other.name));
  const more = view.room.memberCount - members.length;
  return (
    <aside class="members" aria-label="Members">
      <h2>Members</h2>
      <ul>
        {members.map((user) => (
          <li key={user.id}>
            {user.name}
            {user.id === you && <small> (you)</small>}
          </li>
        ))}
        {more > 0 && <li class="more">and {more} more</li>}
      </ul>
    </aside>
  );
}
