// A client for Palaver chat servers, for browsers and Node.js: no dependencies.
export { Chat, type Options, randomId } from "./chat.js";
export { Room } from "./room.js";
export {
  Closed,
  type EvaluationPush,
  type Gap,
  isOurs,
  type Message,
  NotSent,
  type Position,
  Refused,
  type RoomEvent,
  type State,
  type Stored,
  Unknown,
  type User,
} from "./types.js";
