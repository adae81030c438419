"""The settings as one frozen tree, each branch for the part that obeys it, and the rules between several settings."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from palaver.chat.rooms import REPLAY
from palaver.chat.settings import ChatSettings
from palaver.server.bounds import Bounds
from palaver.server.reviews.budget import NANODOLLARS, Caps
from palaver.server.settings.sources import SettingsError, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Where the server listens. With `unix_socket`, host and port are not used."""

    host: str
    port: int
    unix_socket: Path | None
    tls_certificate: Path | None
    tls_key: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where messages are kept. How many and how long is in ChatSettings."""

    data: Path
    store: Literal["sqlite", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """How tokens are verified. With neither a key nor a URL, the operator's key in the data directory counts."""

    key: Path | None
    jwks_url: str | None
    issuer: str | None
    audience: str | None
    leeway_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSettings:
    """How the process itself behaves."""

    node: str
    drain_window_seconds: float
    drain_deadline_seconds: float
    log_format: Literal["auto", "console", "json"]
    log_level: Literal["debug", "info", "warning", "error"]
    metrics: Literal["public", "operator"]
    fast_path: bool
    uvloop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """Whom rooms may ask, how much at a time, and for how much money. Without `models` nobody."""

    models: Path | None
    directory: Path
    lock_url: str | None
    guests_ask: bool
    running: int
    calls: int
    caps: Caps


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    listen: ListenSettings
    store: StoreSettings
    tokens: TokenSettings
    chat: ChatSettings
    bounds: Bounds
    reviews: ReviewSettings
    operation: OperationSettings


def build(values: Values) -> Settings:
    """Make the tree of gathered values. Raises SettingsError where settings contradict each other."""
    given: dict[str, Any] = {name: value.value for name, value in values.items()}
    _check(given)
    return Settings(
        listen=ListenSettings(
            host=given["host"],
            port=given["port"],
            unix_socket=given["unix-socket"],
            tls_certificate=given["tls-certificate"],
            tls_key=given["tls-key"],
        ),
        store=StoreSettings(data=given["data"], store=given["store"]),
        tokens=TokenSettings(
            key=given["token-key"],
            jwks_url=given["token-jwks-url"],
            issuer=given["token-issuer"],
            audience=given["token-audience"],
            leeway_seconds=given["token-leeway"],
        ),
        chat=_chat(given),
        bounds=_bounds(given),
        reviews=_reviews(given),
        operation=OperationSettings(
            node=given["node"],
            drain_window_seconds=given["drain-window"],
            drain_deadline_seconds=given["drain-deadline"],
            log_format=given["log-format"],
            log_level=given["log-level"],
            metrics=given["metrics"],
            fast_path=given["fast-path"] == "auto",
            uvloop=given["uvloop"] == "auto",
        ),
    )


def _chat(given: dict[str, Any]) -> ChatSettings:
    return ChatSettings(
        auth=given["auth"],
        history=given["history"],
        history_age_seconds=given["history-age"],
        messages=given["messages-per-second"],
        per_seconds=given["messages-window"],
        room_messages_per_second=given["room-messages-per-second"],
        frames_per_second=given["frames-per-second"],
        ip_connects_per_second=given["ip-connects-per-second"],
        ip_unauthenticated_frames_per_second=given["ip-frames-per-second"],
        malformed_budget=given["malformed-budget"],
        malformed_seconds=given["malformed-window"],
        frame_bytes=given["frame-bytes"],
        text_chars=given["text-chars"],
        rooms=given["rooms-per-connection"],
        heartbeat_interval_seconds=given["heartbeat-interval"],
        heartbeat_timeout_seconds=given["heartbeat-timeout"],
        auth_timeout_seconds=given["auth-timeout"],
        leave_grace_seconds=given["leave-grace"],
        presence_interval_seconds=given["presence-interval"],
        presence_members=given["presence-members"],
        expiry_warning_seconds=given["expiry-warning"],
    )


def _bounds(given: dict[str, Any]) -> Bounds:
    slow = given["slow-timeout"]
    frames = given["frames-per-second"]
    return Bounds(
        origins=given["origin"],
        # A guest needs no secret, so a stranger's page must not get to a server that only this machine can reach.
        local_hosts_only=given["auth"] == "guest" and not given["unix-socket"] and _is_loopback(given["host"]),
        trusted_proxies=given["trusted-proxy"],
        head_seconds=given["handshake-timeout"],
        unfinished_handshakes=given["handshakes"],
        frame_bytes=given["frame-bytes"],
        # Below the engine's limit nothing may be slowed down, or a client would wait instead of getting its error.
        frames_per_second=None if frames is None else max(8.0 * frames, 400.0),
        waiting_bytes=given["connection-bytes"],
        answer_bytes=REPLAY * (min(4 * given["text-chars"], given["frame-bytes"]) + 1_000),
        slow_seconds=given["heartbeat-interval"] + given["heartbeat-timeout"] if slow is None else slow,
        log_seconds=min(5.0, given["heartbeat-timeout"] / 2),
        linger_seconds=given["linger"],
        slice_members=given["slice-members"],
    )


def _reviews(given: dict[str, Any]) -> ReviewSettings:
    def capped(name: str) -> int | None:
        dollars = given[f"spend-{name}"]
        return None if dollars is None else round(dollars * NANODOLLARS)

    return ReviewSettings(
        models=given["models"],
        directory=given["evaluations"] or given["data"] / "evaluations",
        lock_url=given["evaluations-lock"],
        guests_ask=given["asking"] == "everybody",
        running=given["evaluations-running"],
        calls=given["evaluation-calls"],
        caps=Caps(evaluation=capped("evaluation"), user=capped("user"), room=capped("room"), server=capped("server")),
    )


def _check(given: dict[str, Any]) -> None:
    guests, listens_here = given["auth"] == "guest", given["unix-socket"] or _is_loopback(given["host"])
    if guests and not listens_here and not given["guests-anywhere"]:
        raise SettingsError(
            f"With --auth guest anybody who can reach {given['host']} could chat under any free name. Use --auth token "
            "with --token-key or --token-jwks-url, or listen on 127.0.0.1, or say --guests-anywhere if that is wanted."
        )
    if given["token-key"] and given["token-jwks-url"]:
        raise SettingsError("Give --token-key or --token-jwks-url, not both: a token has one maker.")
    if not guests and not (given["token-key"] or given["token-jwks-url"]):
        raise SettingsError("With --auth token the server needs --token-key FILE or --token-jwks-url URL.")
    if bool(given["tls-certificate"]) != bool(given["tls-key"]):
        raise SettingsError("TLS needs both --tls-certificate and --tls-key.")
    # JSON escapes an astral character as twelve bytes; a message of the allowed length must fit into a frame.
    if given["text-chars"] > given["frame-bytes"]:
        raise SettingsError("--text-chars is larger than --frame-bytes: no frame could carry such a text.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
