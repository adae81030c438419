// The way in: a name for a guest, a token for everybody else.

import { useState } from "preact/hooks";
import type { Store } from "./store";

const NAME_CHARS = 32;
const focus = (input: HTMLInputElement | null): void => input?.focus();

export function Entrance({ store }: { store: Store }) {
  const [name, setName] = useState(store.suggestedName);
  const [token, setToken] = useState("");
  const given = (store.wantsToken ? token : name).trim();
  return (
    <main class="entrance">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (given === "") return;
          if (store.wantsToken) store.enterWith(given);
          else store.enter(given);
        }}
      >
        <h1>Palaver</h1>
        <label for="who">{store.wantsToken ? "Your token" : "Your name"}</label>
        {store.wantsToken ? (
          <input
            id="who"
            key="token"
            type="password"
            value={token}
            autoComplete="off"
            ref={focus}
            onInput={(event) => setToken(event.currentTarget.value)}
            aria-describedby="problem"
          />
        ) : (
          <input
            id="who"
            key="name"
            value={name}
            maxLength={NAME_CHARS}
            autoComplete="nickname"
            ref={focus}
            onInput={(event) => setName(event.currentTarget.value)}
            aria-describedby="problem"
          />
        )}
        <p id="problem" class="problem" role="alert">
          {store.problem}
        </p>
        <button type="submit" disabled={given === ""}>
          Enter
        </button>
        <button type="button" class="quiet" onClick={() => store.ask(!store.wantsToken)}>
          {store.wantsToken ? "Enter as a guest" : "Enter with a token"}
        </button>
      </form>
    </main>
  );
}
