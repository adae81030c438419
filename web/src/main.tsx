import { render } from "preact";
import { Store } from "./store";
import "./style.css";
import { App } from "./view";

const page = document.getElementById("page");
if (page === null) throw new Error("index.html has no #page");
const store = new Store(location.origin, sessionStorage, localStorage);
store.follow(location.hash); // first: who comes back to a room is not to be put into another one
store.subscribe(() => render(<App store={store} />, page));
addEventListener("online", () => store.retry());
addEventListener("hashchange", () => store.follow(location.hash));
