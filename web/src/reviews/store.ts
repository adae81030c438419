// The evaluations that the page knows: read over HTTP, kept up to date by the room's pushes.
//
// A push with the next number is applied; one that leaves a hole, or begins another run, means reading the evaluation
// again. While it is read, pushes wait, so that none is applied to a state that has it already.

import type { EvaluationPush } from "palaver-client";
import type { Card, Evaluation, Judgment, Stats } from "./types";

const KEPT = 50;
const WAITING = 500;
const AGAIN_MS = 2_000;

interface Known {
  evaluation: Evaluation | null;
  problem: string;
  reading: boolean;
  again: boolean;
  waiting: EvaluationPush[];
  cells: Judgment[] | null;
  stats: Stats | null;
}

export class Evaluations {
  list: Card[] | null = null;
  complete = true;
  problem = "";
  private readonly known = new Map<string, Known>();

  constructor(
    private readonly server: string,
    private readonly session: () => string | null,
    private readonly changed: () => void,
  ) {}

  /** The evaluation, or undefined while it is read for the first time. */
  get(id: string): Evaluation | undefined {
    return this.open(id).evaluation ?? undefined;
  }

  problemOf(id: string): string {
    return this.open(id).problem;
  }

  /** What the judges wrote, read when first asked for. */
  judgments(id: string): Judgment[] | null {
    const known = this.open(id);
    const revealed = known.evaluation?.revealed ?? false;
    if (known.cells === null && revealed) {
      known.cells = [];
      void this.fetch<{ cells: Judgment[] }>(`/${id}/cells`).then((found) => this.keep(known, { cells: found.cells }), () => {});
    }
    return known.cells;
  }

  /** The measured figures, once the results are out. */
  stats(id: string): Stats | null {
    const known = this.open(id);
    if (known.stats === null && known.evaluation?.revealed) {
      known.stats = { measured: { verdict: "Measuring…", reasons: [], lines: [], judges: [] }, people: null };
      void this.fetch<Stats>(`/${id}/stats`).then((stats) => this.keep(known, { stats }), () => this.keep(known, { stats: null }));
    }
    return known.stats;
  }

  hear(push: EvaluationPush): void {
    const known = this.known.get(push.id);
    if (!known) {
      this.open(push.id);
    } else if (known.reading) {
      if (known.waiting.length < WAITING) known.waiting.push(push);
      else known.again = true;
    } else {
      this.apply(known, push);
    }
    this.changed();
  }

  /** Connected (again): whatever still ran may have moved on, and what was refused without a name may be read now. */
  refresh(): void {
    if (this.problem !== "") void this.readList();
    for (const [id, known] of this.known) if (!known.evaluation?.revealed) this.read(id, known);
  }

  async readList(before?: string): Promise<void> {
    try {
      const page = await this.fetch<{ evaluations: Card[]; complete: boolean }>(before ? `?before=${before}` : "");
      this.list = before ? [...(this.list ?? []), ...page.evaluations] : page.evaluations;
      this.complete = page.complete;
      this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
    this.changed();
  }

  async vote(id: string, marks: Record<string, number>): Promise<void> {
    const known = this.open(id);
    try {
      const evaluation = await this.fetch<Evaluation>(`/${id}/votes`, { marks });
      known.evaluation = { ...evaluation, n: known.evaluation?.n ?? evaluation.n };
      known.problem = "";
    } catch (error) {
      known.problem = error instanceof Error ? error.message : String(error);
    }
    this.changed();
  }

  /** A report as a file for the browser to save. */
  async report(id: string, format: string): Promise<Blob> {
    const path = format === "results" ? `/${id}/results` : `/${id}/report?format=${format}`;
    const answer = await fetch(`${this.server}/api/evaluations${path}`, { headers: this.headers() });
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    return answer.blob();
  }

  private open(id: string): Known {
    let known = this.known.get(id);
    if (!known) {
      known = { evaluation: null, problem: "", reading: false, again: false, waiting: [], cells: null, stats: null };
      this.known.set(id, known);
      const oldest = this.known.keys().next().value;
      if (this.known.size > KEPT && oldest !== undefined) this.known.delete(oldest);
      this.read(id, known);
    }
    return known;
  }

  private read(id: string, known: Known): void {
    if (known.reading) {
      known.again = true;
      return;
    }
    known.reading = true;
    known.waiting = [];
    this.fetch<Evaluation>(`/${id}`)
      .then(
        (evaluation) => {
          known.evaluation = evaluation;
          known.problem = "";
        },
        (error: unknown) => {
          known.problem = error instanceof Error ? error.message : String(error);
          if (error instanceof Unavailable) setTimeout(() => this.read(id, known), AGAIN_MS);
        },
      )
      .finally(() => {
        known.reading = false;
        const { waiting, again } = known;
        known.waiting = [];
        known.again = false;
        if (again) this.read(id, known);
        else for (const push of waiting) if (!known.reading) this.apply(known, push);
        this.changed();
      });
  }

  private apply(known: Known, push: EvaluationPush): void {
    const seen = known.evaluation;
    if (seen === null) return;
    if (push.event === "started" || push.event === "revealed" || seen.n === null || push.n > seen.n + 1) {
      known.cells = known.stats = null;
      this.read(push.id, known);
      return;
    }
    if (push.n <= seen.n) return;
    seen.n = push.n;
    const answer = seen.answers.find((each) => each.answer === push.answer);
    if (push.event === "text" && answer && push.text !== undefined) {
      answer.text = answer.text.slice(0, push.offset ?? 0) + push.text;
    } else if (push.event === "answer" && answer) {
      answer.status = push.status ?? answer.status;
      answer.reason = push.reason ?? null;
    } else if (push.event === "cell") {
      const cell = seen.cells.find((each) => each.judge === push.judge && each.answer === push.answer);
      if (cell) Object.assign(cell, { status: push.status, score: push.score ?? null, reason: push.reason ?? null });
      seen.judged = seen.cells.filter((each) => each.score !== null).length;
      seen.ranking = ranking(seen);
    } else if (push.event === "state" && push.state) {
      seen.state = push.state;
    }
  }

  private keep(known: Known, found: Partial<Known>): void {
    Object.assign(known, found);
    this.changed();
  }

  private headers(): Record<string, string> {
    const session = this.session();
    return session === null ? {} : { Authorization: `Bearer ${session}` };
  }

  private async fetch<T>(path: string, body?: object): Promise<T> {
    const answer = await fetch(`${this.server}/api/evaluations${path}`, {
      method: body ? "POST" : "GET",
      headers: { ...this.headers(), ...(body ? { "Content-Type": "application/json" } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const found = (await answer.json()) as T & { error?: { message: string; retryable: boolean } };
    if (answer.ok) return found;
    if (answer.status === 503 || answer.status === 429) throw new Unavailable(found.error?.message ?? "Not available now.");
    throw new Error(found.error?.message ?? `The server answered ${answer.status}.`);
  }
}

class Unavailable extends Error {}

/** The places by plain means of the marks so far; whoever has none has no place. */
function ranking(evaluation: Evaluation): Evaluation["ranking"] {
  const means = evaluation.answers.flatMap(({ answer }) => {
    const marks = evaluation.cells.flatMap((cell) => (cell.answer === answer && cell.score !== null ? [cell.score] : []));
    return marks.length ? [{ answer, judges: marks.length, score: marks.reduce((sum, each) => sum + each, 0) / marks.length }] : [];
  });
  return means.sort((one, other) => other.score - one.score).map((each, index) => ({ ...each, rank: index + 1 }));
}
