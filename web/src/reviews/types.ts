// What the server says about an evaluation: palaver.server.reviews.view, and the parts of the statistics that are shown.

export interface Member {
  readonly letter: string;
  readonly answers: boolean;
  readonly judges: boolean;
  readonly name: string | null;
  readonly vendor: string | null;
  readonly model: string | null;
}

export interface Answer {
  readonly answer: string;
  status: string;
  reason: string | null;
  text: string;
}

export interface Cell {
  readonly judge: string;
  readonly answer: string;
  status: string;
  score: number | null;
  reason: string | null;
}

export interface Place {
  readonly rank: number;
  readonly answer: string;
  readonly score: number;
  readonly judges: number;
}

export interface Evaluation {
  readonly id: string;
  readonly question: string;
  readonly category: string;
  readonly room: string | null;
  readonly created: string;
  state: string;
  readonly revealed: boolean;
  n: number | null;
  readonly criteria: Record<string, number>;
  readonly members: Member[];
  readonly answers: Answer[];
  readonly cells: Cell[];
  ranking: Place[];
  readonly winner: string | null;
  readonly no_winner_because: string | null;
  judged: number;
  readonly possible: number;
  readonly spent_nanodollars: number;
  readonly your_votes: Record<string, number>;
  readonly votes: Record<string, number> | null;
}

export interface Card {
  readonly id: string;
  readonly question: string;
  readonly room: string | null;
  readonly created: string;
  readonly state: string;
  readonly models: number;
  readonly judged: number;
  readonly possible: number;
  readonly winner: string | null;
}

export interface Judgment extends Cell {
  readonly scores: Record<string, number> | null;
  readonly ends_properly: boolean | null;
  readonly justification: string;
  readonly repaired: boolean;
  readonly raw: string | null;
}

export interface Line {
  readonly key: string;
  readonly name: string;
  readonly score: number;
  readonly adjusted: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly first: number | null;
}

export interface Sheet {
  readonly judge: string;
  readonly name: string;
  readonly marks: number;
  readonly severity: number | null;
  readonly spread: number;
  readonly tau: number | null;
  readonly misfit: number | null;
  readonly attention: number | null;
  readonly failed_controls: string[];
}

export interface Stats {
  readonly measured: { readonly verdict: string; readonly reasons: string[]; readonly lines: Line[]; readonly judges: Sheet[] };
  readonly people: { readonly persons: number; readonly votes: number; readonly agreement: number | null; readonly kappa: number | null } | null;
}
