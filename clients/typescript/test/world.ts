// A real `palaver serve` in a process of its own, and what a test reads from a room.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Chat, type Options, type RoomEvent } from "../src/index.js";

const PYTHON = process.env["PYTHON"] ?? "python3";
// The tests' own PALAVER_ variables are not the server's settings.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PALAVER_")));

export class Server {
  url = "";
  private process: ChildProcess | null = null;
  private readonly data = mkdtempSync(join(tmpdir(), "palaver-sdk-"));

  constructor(private readonly options: string[] = []) {}

  /** Start, or start again on the same port and data; resolves when it listens. */
  async start(): Promise<this> {
    const port = this.url ? new URL(this.url).port : "0";
    const args = ["-m", "palaver", "serve", "--port", port, "--data", this.data, "--drain-window", "0.3", ...this.options];
    const child = spawn(PYTHON, args, { env, stdio: ["ignore", "pipe", "ignore"] });
    this.process = child;
    for await (const line of createInterface({ input: child.stdout })) {
      const found = /^Palaver is listening on (\S+)$/.exec(line);
      if (found?.[1]) {
        this.url = found[1];
        return this;
      }
    }
    throw new Error("the server ended before it listened");
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  async remove(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** What a room's listener was told, and a way to wait for it. */
export class Heard {
  readonly events: RoomEvent[] = [];
  private wake = (): void => {};

  readonly listen = (event: RoomEvent): void => {
    this.events.push(event);
    this.wake();
  };

  /** Messages as their text, gaps as "[first-last]". */
  get log(): string[] {
    return this.events.flatMap((event) =>
      event.type === "message" ? [event.text] : event.type === "gap" ? [`[${event.first}-${event.last}]`] : [],
    );
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

export function chat(server: Server, name: string, options: Partial<Options> = {}): Chat {
  return new Chat({ url: server.url, name, backoffBaseMs: 20, backoffCapMs: 100, ...options }).start();
}
