// Evaluations on the page: a card in the room, the list, and one evaluation in full. Plain functions of the store.

import { useEffect, useState } from "preact/hooks";
import { html } from "./markdown";
import type { Evaluations } from "./store";
import "./style.css";
import type { Cell, Evaluation, Judgment, Line, Sheet } from "./types";

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const STATES: Record<string, string> = {
  answering: "the models are answering",
  judging: "the answers are being judged",
  settling: "the judges are being checked",
  final: "finished",
  partial: "finished without a winner",
  failed: "failed",
  cancelled: "stopped",
};
const link = (id: string): string => `#/evaluations/${id}`;
const number = (value: number | null | undefined, digits = 2): string => (value == null ? "·" : value.toFixed(digits));

export function Markdown({ text }: { text: string }) {
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: html(text) }} />;
}

/** Who a letter is: the letter alone until names are out. */
function who(evaluation: Evaluation, letter: string): string {
  return evaluation.members.find((each) => each.letter === letter)?.name ?? `Answer ${letter}`;
}

export function EvaluationCard({ id, evaluations }: { id: string; evaluations: Evaluations }) {
  const evaluation = evaluations.get(id);
  if (!evaluation) return <p class="evaluation-card empty">{evaluations.problemOf(id) || "Reading the evaluation…"}</p>;
  return (
    <section class="evaluation-card" aria-label={`Evaluation ${id}`} data-state={evaluation.state} data-revealed={evaluation.revealed}>
      <p class="state">
        <a href={link(id)}>{id}</a> <Progress evaluation={evaluation} />
      </p>
      <div class="side-by-side">
        <HeatMap evaluation={evaluation} />
        <Ranking evaluation={evaluation} />
      </div>
      {!evaluation.revealed && <Drafts evaluation={evaluation} />}
      <Ballot evaluation={evaluation} evaluations={evaluations} />
    </section>
  );
}

function Progress({ evaluation }: { evaluation: Evaluation }) {
  return (
    <>
      <span class="state-name">{STATES[evaluation.state] ?? evaluation.state}</span>
      <progress value={evaluation.judged} max={Math.max(1, evaluation.possible)} aria-label="Judgments made">
        {evaluation.judged}
      </progress>
      <span>
        {evaluation.judged} of {evaluation.possible} judgments
      </span>
    </>
  );
}

/** The matrix: a row for each judge, a column for each answer. */
function HeatMap({ evaluation, pick }: { evaluation: Evaluation; pick?: (cell: Cell) => void }) {
  const judges = evaluation.members.filter((each) => each.judges);
  const answers = evaluation.members.filter((each) => each.answers);
  const cells = new Map(evaluation.cells.map((cell) => [`${cell.judge} ${cell.answer}`, cell]));
  return (
    <table class="heat">
      <caption>Marks: each row is a judge, each column an answer</caption>
      <thead>
        <tr>
          <td />
          {answers.map((each) => (
            <th scope="col" title={each.name ?? undefined}>
              {each.letter}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {judges.map((judge) => (
          <tr>
            <th scope="row" title={judge.name ?? undefined}>
              {judge.letter}
            </th>
            {answers.map((answer) => (
              <HeatCell cell={cells.get(`${judge.letter} ${answer.letter}`)} pick={pick} />
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function HeatCell({ cell, pick }: { cell: Cell | undefined; pick?: (cell: Cell) => void }) {
  if (!cell) return <td />;
  const heat = cell.score === null ? cell.status : `heat-${Math.round(cell.score)}`;
  const shown = cell.score === null ? { pending: "", excluded: "—" }[cell.status] ?? "✕" : cell.score.toFixed(1);
  const title = `${cell.judge} on ${cell.answer}: ${cell.score ?? cell.reason ?? cell.status}`;
  return (
    <td class={heat} data-cell={`${cell.judge}${cell.answer}`} title={title}>
      {pick && cell.status !== "excluded" ? (
        <button type="button" onClick={() => pick(cell)} aria-label={title}>
          {shown || "·"}
        </button>
      ) : (
        shown
      )}
    </td>
  );
}

function Ranking({ evaluation, lines = [] }: { evaluation: Evaluation; lines?: Line[] }) {
  const measured = new Map(lines.map((line) => [line.name, line]));
  const withIntervals = lines.some((line) => line.low !== null);
  return (
    <table class="ranking">
      <caption>{evaluation.revealed ? "Ranking" : "Ranking so far"}</caption>
      <thead>
        <tr>
          <th scope="col">#</th>
          <th scope="col">{evaluation.revealed ? "Model" : "Answer"}</th>
          <th scope="col">Mean</th>
          <th scope="col">Judges</th>
          {withIntervals && <th scope="col">Corrected, 95 %</th>}
        </tr>
      </thead>
      <tbody>
        {evaluation.ranking.map((place) => {
          const line = measured.get(who(evaluation, place.answer));
          return (
            <tr key={place.answer} class={place.answer === evaluation.winner ? "winner" : ""}>
              <td>{place.rank}</td>
              <th scope="row">
                {who(evaluation, place.answer)}
                {evaluation.revealed && <small> {place.answer}</small>}
              </th>
              <td>{number(place.score)}</td>
              <td>{place.judges}</td>
              {withIntervals && <td>{line && <Interval line={line} />}</td>}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** A line from `low` to `high` on a scale from 0 to 10; the filled point is the corrected score, the hollow one the mean. */
function Interval({ line }: { line: Line }) {
  const x = (value: number): number => 5 + Math.min(10, Math.max(0, value)) * 15;
  const label = `${number(line.adjusted)} (${number(line.low)} to ${number(line.high)})`;
  return (
    <svg class="interval" role="img" aria-label={label} width="160" height="18" viewBox="0 0 160 18">
      <title>{label}</title>
      <line class="axis" x1="5" x2="155" y1="9" y2="9" />
      {line.low !== null && line.high !== null && <line class="range" x1={x(line.low)} x2={x(line.high)} y1="9" y2="9" />}
      <circle class="raw" cx={x(line.score)} cy="9" r="4" />
      {line.adjusted !== null && <circle class="corrected" cx={x(line.adjusted)} cy="9" r="4" />}
    </svg>
  );
}

/** Answers that are still streaming in: settled ones are messages of the room. */
function Drafts({ evaluation }: { evaluation: Evaluation }) {
  const drafts = evaluation.answers.filter((each) => each.status === "pending" && each.text !== "");
  return (
    <>
      {drafts.map((each) => (
        <details key={each.answer} open>
          <summary>Answer {each.answer} is being written…</summary>
          <pre class="draft">{each.text.slice(-1_000)}</pre>
        </details>
      ))}
    </>
  );
}

function Ballot({ evaluation, evaluations }: { evaluation: Evaluation; evaluations: Evaluations }) {
  const answers = evaluation.answers.filter((each) => each.text !== "" && each.status !== "pending");
  if (answers.length < 2) return null;
  return (
    <p class="ballot">
      Your favourite:
      {answers.map(({ answer }) => (
        <button
          key={answer}
          type="button"
          aria-pressed={(evaluation.your_votes[answer] ?? 0) === 10}
          onClick={() => {
            const marks = Object.fromEntries(evaluation.answers.map((each) => [each.answer, each.answer === answer ? 10 : 0]));
            void evaluations.vote(evaluation.id, marks);
          }}
        >
          {answer}
        </button>
      ))}
    </p>
  );
}

export function EvaluationList({ evaluations }: { evaluations: Evaluations }) {
  useEffect(() => void evaluations.readList(), [evaluations]);
  const { list } = evaluations;
  const last = list?.[list.length - 1];
  return (
    <main class="page">
      <h2>Evaluations</h2>
      {evaluations.problem && <p class="problem">{evaluations.problem}</p>}
      {list?.length === 0 && <p class="empty">Nothing was asked yet. In a room, write: /ask your question</p>}
      <ul class="evaluation-list">
        {list?.map((card) => (
          <li key={card.id}>
            <a href={link(card.id)}>
              <b>{card.question.slice(0, 200)}</b>
              <span>
                {card.room ?? "no room"} · {when.format(new Date(card.created))} · {card.models} models ·{" "}
                {card.winner ? `${card.winner} won` : (STATES[card.state] ?? card.state)}
              </span>
            </a>
          </li>
        ))}
      </ul>
      {!evaluations.complete && last && (
        <button type="button" onClick={() => void evaluations.readList(last.id)}>
          Older ones
        </button>
      )}
    </main>
  );
}

export function EvaluationPage({ id, evaluations }: { id: string; evaluations: Evaluations }) {
  const [picked, pick] = useState<Cell | null>(null);
  const evaluation = evaluations.get(id);
  if (!evaluation) return <main class="page">{evaluations.problemOf(id) || "Reading the evaluation…"}</main>;
  const stats = evaluations.stats(id);
  const judgments = evaluations.judgments(id);
  return (
    <main class="page evaluation" data-state={evaluation.state}>
      <p>
        <a href="#/evaluations">Evaluations</a> / {id}
      </p>
      <h2>{evaluation.question}</h2>
      <p class="state">
        <Progress evaluation={evaluation} /> · {when.format(new Date(evaluation.created))}
        {evaluation.spent_nanodollars > 0 && ` · $${(evaluation.spent_nanodollars / 1e9).toFixed(4)}`}
      </p>
      {evaluations.problemOf(id) && <p class="problem">{evaluations.problemOf(id)}</p>}
      {evaluation.no_winner_because && <p>Nobody won: {evaluation.no_winner_because}</p>}
      {stats && <p class="verdict">{[stats.measured.verdict, ...stats.measured.reasons].join(" ")}</p>}
      <Ranking evaluation={evaluation} lines={stats?.measured.lines} />
      <HeatMap evaluation={evaluation} pick={(cell) => pick(cell)} />
      {picked && <JudgmentText evaluation={evaluation} cell={picked} judgments={judgments} />}
      {stats && stats.measured.judges.length > 0 && <JudgeSheets sheets={stats.measured.judges} />}
      <People evaluation={evaluation} evaluations={evaluations} />
      <h3>Answers</h3>
      {evaluation.answers.map((each) => (
        <details key={each.answer} class="answer">
          <summary>
            {each.answer}
            {evaluation.revealed && ` · ${who(evaluation, each.answer)}`} · {each.status}
            {each.reason && ` (${each.reason})`}
          </summary>
          <Markdown text={each.text} />
        </details>
      ))}
      {evaluation.revealed && <Reports id={id} evaluations={evaluations} />}
    </main>
  );
}

function JudgmentText({ evaluation, cell, judgments }: { evaluation: Evaluation; cell: Cell; judgments: Judgment[] | null }) {
  const found = judgments?.find((each) => each.judge === cell.judge && each.answer === cell.answer);
  const judge = evaluation.members.find((each) => each.letter === cell.judge)?.name ?? cell.judge;
  return (
    <section class="judgment" aria-live="polite" aria-label={`${cell.judge} on ${cell.answer}`}>
      <h3>
        {judge} on {who(evaluation, cell.answer)}: {cell.score === null ? (cell.reason ?? cell.status) : number(cell.score)}
      </h3>
      {found?.scores && (
        <p>
          {Object.entries(found.scores)
            .map(([name, mark]) => `${name} ${mark}`)
            .join(" · ")}
          {found.ends_properly === false && " · says that the answer is cut off"}
          {found.repaired && " · after one repair"}
        </p>
      )}
      <p>{found ? found.justification : evaluation.revealed ? "…" : "What judges wrote is shown with the ranking."}</p>
      {found?.raw && (
        <details>
          <summary>The reply as it came</summary>
          <pre>{found.raw}</pre>
        </details>
      )}
    </section>
  );
}

function JudgeSheets({ sheets }: { sheets: Sheet[] }) {
  return (
    <table class="sheets">
      <caption>Judges</caption>
      <thead>
        <tr>
          {["Judge", "Marks", "Severity", "Spread", "Order like the others", "Misfit", "Attention"].map((name) => (
            <th scope="col">{name}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {sheets.map((sheet) => (
          <tr key={sheet.judge} class={sheet.failed_controls.length ? "suspicious" : ""}>
            <th scope="row">{sheet.name}</th>
            <td>{sheet.marks}</td>
            <td>{number(sheet.severity)}</td>
            <td>{number(sheet.spread)}</td>
            <td>{number(sheet.tau)}</td>
            <td>{number(sheet.misfit)}</td>
            <td>{sheet.failed_controls.length ? `failed: ${sheet.failed_controls.join(", ")}` : number(sheet.attention)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function People({ evaluation, evaluations }: { evaluation: Evaluation; evaluations: Evaluations }) {
  const people = evaluations.stats(evaluation.id)?.people;
  return (
    <>
      <h3>People</h3>
      <Ballot evaluation={evaluation} evaluations={evaluations} />
      <p>
        {people
          ? `${people.persons} voted; of the pairs of answers that they ordered, the jury orders ${
              people.agreement === null ? "none" : `${Math.round(people.agreement * 100)} %`
            } the same way${people.kappa === null ? "" : ` (kappa ${number(people.kappa)})`}.`
          : evaluation.revealed
            ? "Nobody voted. Votes are kept apart from the jury."
            : "How people voted is shown with the ranking. Votes are kept apart from the jury."}
      </p>
    </>
  );
}

function Reports({ id, evaluations }: { id: string; evaluations: Evaluations }) {
  const save = async (format: string, name: string): Promise<void> => {
    const address = URL.createObjectURL(await evaluations.report(id, format));
    Object.assign(document.createElement("a"), { href: address, download: `${id}${name}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  };
  return (
    <p class="reports">
      Keep:
      {[
        ["results", ".json"],
        ["md", ".md"],
        ["html", ".html"],
        ["csv", ".csv"],
      ].map(([format = "", name = ""]) => (
        <button key={format} type="button" class="quiet" onClick={() => void save(format, name)}>
          {format}
        </button>
      ))}
    </p>
  );
}
