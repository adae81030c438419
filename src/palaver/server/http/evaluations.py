"""Evaluations over HTTP: ask, list, look, vote, and read results and reports once they are out.

Who may read a room may read its evaluations; voting and asking need a name. Invariant: what is not in a room the
caller may join, nor asked by them, does not exist for them.
"""

import re
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from palaver.chat.identity import Identity
from palaver.chat.names import room_problem
from palaver.review.errors import ReviewError
from palaver.review.matrix import Matrix
from palaver.server.http.answers import Refused, json_response
from palaver.server.http.callers import identify, json_object
from palaver.server.http.queries import number, query
from palaver.server.http.services import SERVICES, Services
from palaver.server.http.throttle import Throttle
from palaver.server.reviews import commands, view
from palaver.server.reviews.owner import Reviews
from palaver.server.reviews.running import BY_HTTP
from palaver.server.reviews.shelf import Card
from palaver.server.reviews.wishes import Declined, Wish

Body = TypeVar("Body")

VOTES = web.AppKey("votes", Throttle)  # by user: each change of a mark is kept

EVALUATION_ID = "EVAL-[0-9]{8}-[0-9]{6}"
PER_PAGE = 100
VOTES_PER_SECOND = 1
_WAIT_MS = 2_000


class NewEvaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question for models: those named by key, or all. In a room, its people see everything that happens."""

    question: Annotated[str, Meta(min_length=1, max_length=commands.QUESTION_CHARS)]
    models: list[str] = []
    room: str | None = None
    category: Annotated[str, Meta(min_length=1, max_length=64)] = "general"


class Votes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Marks from 0 to 10 for answers by letter, or the letter of the best one."""

    marks: dict[str, Annotated[int, Meta(ge=0, le=10)]] = {}
    best: str | None = None


class EvaluationList(msgspec.Struct, frozen=True):
    """Evaluations, the newest first. `complete`: there are none before these."""

    evaluations: list[Card]
    complete: bool


async def create(request: web.Request) -> web.StreamResponse:
    """Ask models. The same Idempotency-Key again gets the evaluation that the first request made."""
    identity, reviews = await identify(request), owner(request)
    body = _body(NewEvaluation, await json_object(request, reserved=()))
    _may_ask(request.app[SERVICES], identity, body.room)
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= 64:
        raise Refused("invalid_frame", "An Idempotency-Key has 1 to 64 characters.", field="Idempotency-Key")
    mid = f"{BY_HTTP}{identity.user.id}:{key or ''}"
    known = reviews.shelf.asked_by(mid) if key is not None else None
    if known is None:
        wish = Wish(
            asker=identity.user.id, question=body.question, keys=tuple(body.models), room=body.room,
            category=body.category, mid=mid, guest=_is_guest(request, identity),
        )  # fmt: skip
        try:
            known = reviews.start(wish).id
        except Declined as declined:
            raise _refused(declined) from None
        return json_response(shown(reviews, known, identity), HTTPStatus.CREATED)
    return json_response(shown(reviews, known, identity))


async def list_all(request: web.Request) -> web.StreamResponse:
    """Evaluations the caller may see, the newest first, of one `room` or of all, with `before` for the next page."""
    identity, reviews = await identify(request, reading=True), owner(request)
    asked = query(request, ("room", "before", "limit"))
    limit = number(asked.get("limit", str(PER_PAGE)), "limit", 1, PER_PAGE)
    if "room" in asked and (problem := room_problem(asked["room"])):
        raise Refused("invalid_room", problem, field="room")
    if "before" in asked and not re.fullmatch(EVALUATION_ID, asked["before"]):
        raise Refused("invalid_frame", "`before` must be the id of an evaluation.", field="before")
    found, complete = list[Card](), True
    for card in reviews.cards():
        if "room" in asked and card.room != asked["room"]:
            continue
        if ("before" in asked and card.id >= asked["before"]) or not _may_see(request, identity, card):
            continue
        if len(found) == limit:
            complete = False
            break
        found.append(card)
    return json_response(EvaluationList(found, complete))


async def read(request: web.Request) -> web.StreamResponse:
    """One evaluation as it stands."""
    identity, card = await seen(request)
    return json_response(shown(owner(request), card.id, identity))


async def matrix(request: web.Request) -> web.StreamResponse:
    """The scores as a table."""
    _, card = await seen(request)
    reviews = owner(request)
    return json_response(view.table(known(reviews, card.id), revealed=reviews.revealed(card.id)))


async def cells(request: web.Request) -> web.StreamResponse:
    """Every judgment in full; raw replies for who asked, for moderators and operators, once the results are out."""
    identity, card = await seen(request)
    reviews = owner(request)
    moderates = card.room is not None and identity.rights.allows("moderate", card.room)
    owns = card.asker == identity.user.id or moderates or identity.rights.operator
    return json_response(view.judgments(known(reviews, card.id), raw=owns and reviews.revealed(card.id)))


async def vote(request: web.Request) -> web.StreamResponse:
    """Mark answers, without saying so in the room. The newest mark of a person for an answer counts."""
    identity = await identify(request)
    _, card = await seen(request)
    reviews, throttle = owner(request), request.app[VOTES]
    throttle.check(identity.user.id)
    throttle.count(identity.user.id)
    body = _body(Votes, await json_object(request, reserved=()))
    if (body.best is None) == (not body.marks):
        raise Refused("invalid_frame", "Give either `best` or `marks`.", field="marks")
    try:
        marks = reviews.marks(card.id, commands.Vote(tuple(body.marks.items()), body.best))
    except Declined as declined:
        raise _refused(declined) from None
    await reviews.vote(card.id, identity.user.id, marks)
    return json_response(shown(reviews, card.id, identity))


async def stop(request: web.Request) -> web.StreamResponse:
    """Stop an evaluation for good; what there is becomes its result."""
    identity, card = await seen(request)
    reviews = owner(request)
    moderates = card.room is not None and identity.rights.allows("moderate", card.room)
    if not (card.asker == identity.user.id or moderates or identity.rights.operator):
        raise Refused("forbidden", "Only who asked, or a moderator, may stop the evaluation.")
    run = reviews.run(card.id)
    if run is not None:
        await run.stop(identity.user.id)
    return json_response(shown(reviews, card.id, identity))


# ---- for these handlers and those of the reports --------------------------------------------------------------------


def owner(request: web.Request) -> Reviews:
    """The server's evaluations. Raises Refused where there are no models."""
    reviews = request.app[SERVICES].reviews
    if reviews is None:
        raise Refused("forbidden", "This server has no models to ask. Its operator starts it with --models FILE.")
    return reviews


async def seen(request: web.Request) -> tuple[Identity, Card]:
    """The caller, and the evaluation of the URL if they may see it. Raises Refused."""
    identity, reviews = await identify(request, reading=True), owner(request)
    name = request.match_info["evaluation"]
    card = reviews.card(name)
    if card is None or not _may_see(request, identity, card):
        raise Refused("not_found", f"There is no evaluation {name[:40]} that you may see.")
    return identity, card


def known(reviews: Reviews, name: str) -> Matrix:
    """What the evaluation amounts to. Raises Refused where its folder cannot be read."""
    try:
        return reviews.matrix(name)
    except ReviewError as error:
        raise Refused("unavailable", f"The evaluation cannot be read: {error}", retry_after_ms=_WAIT_MS) from error


async def results_of(request: web.Request) -> Matrix:
    """The evaluation of the URL, whose results are out. Raises Refused."""
    _, card = await seen(request)
    reviews = owner(request)
    if not reviews.revealed(card.id):
        text = "Results are published with the ranking; until then the review is blind."
        raise Refused("unavailable", text, retry_after_ms=_WAIT_MS)
    return known(reviews, card.id)


def shown(reviews: Reviews, name: str, identity: Identity) -> view.ShownEvaluation:
    """What the caller may see of an evaluation."""
    run = reviews.run(name)
    n = None if run is None else run.live.count
    return view.evaluation(known(reviews, name), identity.user.id, revealed=reviews.revealed(name), n=n)


def _may_see(request: web.Request, identity: Identity, card: Card) -> bool:
    if identity.rights.operator or card.asker == identity.user.id:
        return True
    if card.room is None or card.room.startswith("~") or not identity.rights.allows("join", card.room):
        return False
    services = request.app[SERVICES]
    return not services.engine.moderation.is_banned(card.room, identity.user.id, services.shell.clock())


def _may_ask(services: Services, identity: Identity, room: str | None) -> None:
    """Raise Refused if the caller may not ask there; asking outside of rooms needs the right to ask everywhere."""
    rights = identity.rights
    if room is None:
        if not rights.allows("ask", ""):
            raise Refused("forbidden", "Your token allows asking in some rooms only: name one as `room`.")
        return
    if problem := room_problem(room):
        raise Refused("invalid_room", problem, field="room")
    silenced = services.engine.moderation.silences(room, identity.user.id, services.shell.clock())
    if room.startswith("~") or silenced or not rights.allows("ask", room) or not rights.allows("send", room):
        raise Refused("forbidden", f"You may not ask models in {room}.")


def _is_guest(request: web.Request, identity: Identity) -> bool:
    person = request.app[SERVICES].engine.state.people.get(identity.user.id)
    return person is not None and person.guest


def _refused(declined: Declined) -> Refused:
    objection = declined.objection
    return Refused(objection.code, objection.message, retry_after_ms=objection.retry_after_ms)


def _body(kind: type[Body], body: object) -> Body:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise Refused("invalid_frame", f"{error}.") from None
