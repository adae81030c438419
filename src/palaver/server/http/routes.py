"""The one table of HTTP routes. The application and the OpenAPI document are both made from it."""

from typing import Literal, NamedTuple

import msgspec

from palaver.chat import replies, requests
from palaver.server.http import (
    documents,
    evaluation_events,
    evaluation_reports,
    evaluations,
    health,
    rooms,
)
from palaver.server.http.rooms import Handler
from palaver.server.reviews import view

Access = Literal["anybody", "reader", "token", "operator"]
Answer = type[msgspec.Struct] | Literal["text", "document", "events", "lines", "report"]


class Route(NamedTuple):
    """One operation.

    For a `reader` no token is needed where guests may chat. `answer` is the struct of the answer's body; an ack loses
    its fields `type` and `re`. `body` is the protocol's request, or another struct, whose fields, without
    `leave_out`, are the fields of the request's body.
    """

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answer: Answer
    access: Access = "token"
    body: type[msgspec.Struct] | None = None
    leave_out: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


_ROOM = "/api/rooms/{room}"
_USER = ("id", "room", "user")
_ONE = "/api/evaluations/{evaluation}"

ROUTES: tuple[Route, ...] = (
    Route(
        "listRooms", "GET", "/api/rooms", rooms.list_rooms, "Rooms that somebody is in and you may join.",
        rooms.RoomList, "reader",
        query=("after", "limit"),
    ),
    Route(
        "readMessages", "GET", f"{_ROOM}/messages", rooms.read_messages, "A page of a room's messages.",
        replies.HistoryAck, "reader",
        query=("before", "after", "limit"),
    ),
    Route(
        "sendMessage", "POST", f"{_ROOM}/messages", rooms.send_message, "Say something in a room.", replies.SendAck,
        body=requests.Send, leave_out=("id", "room"),
    ),
    Route(
        "deleteMessage", "DELETE", _ROOM + "/messages/{seq}", rooms.delete_message,
        "Remove a message's text; its place in the order stays.", replies.RoomAck,
    ),
    Route("listMembers", "GET", f"{_ROOM}/members", rooms.list_members, "Who is in a room.", rooms.MemberList,
          "reader"),
    Route(
        "listSanctions", "GET", f"{_ROOM}/sanctions", rooms.list_sanctions, "Bans, mutes and slow mode that stand.",
        rooms.SanctionList,
    ),
    Route(
        "kick", "POST", _ROOM + "/members/{user}/kick", rooms.moderate(requests.Kick),
        "Close a user's connections that are in the room.", replies.RoomAck, body=requests.Kick, leave_out=_USER,
    ),
    Route(
        "ban", "PUT", _ROOM + "/bans/{user}", rooms.moderate(requests.Ban),
        "Kick a user and refuse later joins.", replies.RoomAck, body=requests.Ban, leave_out=_USER,
    ),
    Route("unban", "DELETE", _ROOM + "/bans/{user}", rooms.moderate(requests.Unban), "Lift a ban.", replies.RoomAck),
    Route(
        "mute", "PUT", _ROOM + "/mutes/{user}", rooms.moderate(requests.Mute),
        "Refuse a user's messages in the room.", replies.RoomAck, body=requests.Mute, leave_out=_USER,
    ),
    Route("unmute", "DELETE", _ROOM + "/mutes/{user}", rooms.moderate(requests.Unmute), "Lift a mute.",
          replies.RoomAck),
    Route(
        "slow", "PUT", f"{_ROOM}/slow", rooms.moderate(requests.Slow, None),
        "Let each user send at most one message per so many seconds.", replies.RoomAck, body=requests.Slow,
        leave_out=("id", "room"),
    ),
    Route(
        "createEvaluation", "POST", "/api/evaluations", evaluations.create,
        "Ask models, and let them judge each other's answers.", view.ShownEvaluation, body=evaluations.NewEvaluation,
    ),
    Route(
        "listEvaluations", "GET", "/api/evaluations", evaluations.list_all, "Evaluations you may see, newest first.",
        evaluations.EvaluationList, "reader", query=("room", "before", "limit"),
    ),
    Route("readEvaluation", "GET", _ONE, evaluations.read, "An evaluation as it stands.", view.ShownEvaluation,
          "reader"),
    Route("stopEvaluation", "DELETE", _ONE, evaluations.stop, "Stop it for good.", view.ShownEvaluation),
    Route("readMatrix", "GET", f"{_ONE}/matrix", evaluations.matrix, "The scores as a table.", view.ShownMatrix,
          "reader"),
    Route("readCells", "GET", f"{_ONE}/cells", evaluations.cells, "Every judgment in full.", view.ShownJudgments,
          "reader"),
    Route(
        "vote", "POST", f"{_ONE}/votes", evaluations.vote, "Mark answers without saying so in the room.",
        view.ShownEvaluation, body=evaluations.Votes,
    ),
    Route(
        "followEvaluation", "GET", f"{_ONE}/events", evaluation_events.events,
        "Server-sent events until the results are out.", "events", "reader",
    ),
    Route(
        "readResults", "GET", f"{_ONE}/results", evaluation_reports.results, "The results in the published form.",
        "document", "reader",
    ),
    Route(
        "readStats", "GET", f"{_ONE}/stats", evaluation_reports.stats,
        "Corrected scores with intervals, agreement, judge sheets, votes.", "document", "reader",
    ),
    Route(
        "readReport", "GET", f"{_ONE}/report", evaluation_reports.report, "A report to read or to keep.", "report",
        "reader", query=("format", "table"),
    ),
    Route(
        "export", "GET", "/dashboard/export", evaluation_reports.export, "Every finished evaluation as a data set.",
        "lines", "operator", query=("part",),
    ),
    Route("live", "GET", "/health/live", health.live, "Whether the process lives.", health.Live, "anybody"),
    Route("ready", "GET", "/health/ready", health.ready, "Whether messages get through.",
          health.Ready, "anybody"),
    Route("metrics", "GET", "/metrics", health.metrics, "Everything that is counted.", "text", "anybody"),
    Route(
        "openapi", "GET", "/api/openapi.json", documents.openapi, "This document.", "document", "anybody",
    ),
    Route(
        "asyncapi", "GET", "/api/asyncapi.json", documents.asyncapi, "The protocol of the WebSocket.", "document",
        "anybody",
    ),
)  # fmt: skip
