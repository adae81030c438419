"""The one table of settings. Flags, environment, TOML, checks, help and the reference page are all made from it.

A setting `heartbeat-interval` is the flag `--heartbeat-interval`, the variable `PALAVER_HEARTBEAT_INTERVAL` and the
TOML key `heartbeat-interval`.
"""

from dataclasses import dataclass
from pathlib import Path

from palaver.server.settings.kinds import (
    Choice,
    Dollars,
    File,
    Host,
    KeyUrl,
    Kind,
    Many,
    Network,
    Origin,
    RedisUrl,
    Seconds,
    Switch,
    Text,
    Whole,
)

DAY = 86_400.0
YEARS = 10 * 365 * DAY
MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class Setting:
    """One row. `default` is a converted value; `help` is one sentence without the range, which `kind` knows."""

    name: str
    kind: Kind
    default: object
    help: str

    @property
    def flag(self) -> str:
        """As on the command line."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """As in the environment."""
        return "PALAVER_" + self.name.upper().replace("-", "_")


LISTEN = (
    Setting("host", Host(), "127.0.0.1", "Address to listen on."),
    Setting("port", Whole(0, 65_535, "PORT"), 8000, "Port to listen on; 0 takes any free one."),
    Setting("unix-socket", File("PATH"), None, "Listen on this Unix socket instead of host and port."),
    Setting("tls-certificate", File(), None, "PEM file with the certificate chain; turns TLS on."),
    Setting("tls-key", File(), None, "PEM file with the certificate's private key."),
    Setting("origin", Many(Origin()), (), "Let web pages of this origin connect, beside the server's own."),
    Setting("trusted-proxy", Many(Network()), (), "Believe the X-Forwarded-For header of proxies at this address."),
)

STORE = (
    Setting("data", File("DIR"), Path("palaver-data"), "Directory for everything that is kept."),
    Setting("store", Choice(("sqlite", "memory")), "sqlite", "Where messages are kept; memory forgets them at exit."),
    Setting("history", Whole(0, 100_000), 100, "Messages kept in each room."),
    Setting("history-age", Seconds(1, YEARS, may_be_off=True), None, "Remove messages that are older than this."),
)

IDENTITY = (
    Setting("auth", Choice(("guest", "token")), "guest", "Who may chat: guests too, or only holders of a token."),
    Setting("guests-anywhere", Switch(), False, "Allow guests also where others than this machine can connect."),
    Setting(
        "token-key",
        File(),
        None,
        "Key that tokens are verified with: PEM, JWK, JWKS, or for HS256 at least 32 random bytes.",
    ),
    Setting("token-jwks-url", KeyUrl(), None, "Fetch the keys that tokens are verified with from here."),
    Setting("token-issuer", Text("ISS", "printable characters"), None, "Demand this `iss` in every token."),
    Setting("token-audience", Text("AUD", "printable characters"), None, "Demand this `aud` in every token."),
    Setting(
        "token-leeway", Seconds(0, 300), 10.0, "How far the clocks of this server and the tokens' maker may differ."
    ),
)

LIMITS = (
    Setting(
        "messages-per-second", Whole(1, 100_000, may_be_off=True), 5, "Messages of one user in any `messages-window`."
    ),
    Setting("messages-window", Seconds(0.1, 3600), 1.0, "Seconds in which `messages-per-second` are counted."),
    Setting("room-messages-per-second", Whole(1, 1_000_000, may_be_off=True), 100, "Messages of one room in a second."),
    Setting(
        "frames-per-second",
        Whole(1, 100_000, may_be_off=True),
        50,
        "Frames of one connection, and HTTP requests of one user, in a second, with a burst of twice as many.",
    ),
    Setting(
        "ip-connects-per-second",
        Whole(1, 100_000, may_be_off=True),
        20,
        "New connections from one address in a second, with a burst of ten times as many.",
    ),
    Setting(
        "ip-frames-per-second",
        Whole(1, 100_000, may_be_off=True),
        20,
        "Frames before `auth` from one address in a second, with a burst of ten times as many.",
    ),
    Setting("malformed-budget", Whole(0, 10_000), 10, "Malformed frames in `malformed-window` before the close."),
    Setting("malformed-window", Seconds(1, DAY), 60.0, "Seconds in which `malformed-budget` is counted."),
    Setting("frame-bytes", Whole(1_024, 16 * MIB), 65_536, "Size of one frame from a client."),
    Setting("text-chars", Whole(1, 1_000_000), 4_000, "Characters of one message."),
    Setting("rooms-per-connection", Whole(1, 10_000), 128, "Rooms that one connection may be in."),
)

TIMES = (
    Setting("heartbeat-interval", Seconds(0.05, 3600), 25.0, "Silence towards a client after which it gets a ping."),
    Setting("heartbeat-timeout", Seconds(0.05, 3600), 10.0, "How long a client may take to answer a ping."),
    Setting("auth-timeout", Seconds(0.05, 3600), 10.0, "How long a client may take to send `auth`."),
    Setting("leave-grace", Seconds(0, DAY), 10.0, "How long a user without a connection stays a room's member."),
    Setting("presence-interval", Seconds(0, 60), 0.1, "How long, at least, comings and goings are gathered."),
    Setting("presence-members", Whole(0, 1_000_000), 1_000, "Rooms with more members tell only how many there are."),
    Setting("expiry-warning", Seconds(0, DAY), 60.0, "How long before its end a token's owner is warned."),
)

CONNECTIONS = (
    Setting("handshake-timeout", Seconds(0.05, 3600), 10.0, "How long a client may take to send its first request."),
    Setting("handshakes", Whole(1, 1_000_000), 1_000, "Connections that have not sent a whole request yet."),
    Setting("connection-bytes", Whole(65_536, 1_024 * MIB), MIB, "Bytes that may wait for one slow reader."),
    Setting(
        "slow-timeout",
        Seconds(0.05, DAY, may_be_off=True),
        None,
        "In which a reader that is behind has to take 64 KiB; off: heartbeat-interval and heartbeat-timeout together.",
    ),
    Setting("linger", Seconds(0, 3600), 5.0, "How long a closed connection may take to say goodbye."),
    Setting("slice-members", Whole(1, 1_000_000), 500, "Members of a room that are written to in one go."),
)

MODELS = (
    Setting("models", File(), None, "TOML file with the models that rooms may ask; without it there are none."),
    Setting("evaluations", File("DIR"), None, "Directory for evaluations instead of the one in the data directory."),
    Setting(
        "evaluations-lock",
        RedisUrl(),
        None,
        "Share the work on evaluations with other workers through leases of the lock at this Redis or Valkey.",
    ),
    Setting("asking", Choice(("everybody", "token")), "everybody", "Who may ask models: guests too, or only tokens."),
    Setting("evaluations-running", Whole(1, 1_000), 4, "Evaluations that work at the same time; others wait."),
    Setting("evaluation-calls", Whole(1, 1_000), 20, "Calls to models under way in one evaluation."),
    Setting("spend-evaluation", Dollars(), 1.0, "The most that one evaluation may cost."),
    Setting("spend-user", Dollars(), 5.0, "The most that one user's evaluations may cost in 24 hours."),
    Setting("spend-room", Dollars(), 10.0, "The most that one room's evaluations may cost in 24 hours."),
    Setting("spend-server", Dollars(), 20.0, "The most that all evaluations may cost in 24 hours."),
)

OPERATION = (
    Setting("node", Text("NAME", "1 to 32 letters, digits and -", r"[A-Za-z0-9-]{1,32}"), "a1", "Name of this server."),
    Setting("drain-window", Seconds(0, 3600), 5.0, "Over how long clients are spread that must reconnect at shutdown."),
    Setting("drain-deadline", Seconds(0, 3600), 5.0, "How long closed connections may take to go at shutdown."),
    Setting("log-format", Choice(("auto", "console", "json")), "auto", "auto: console on a terminal, otherwise JSON."),
    Setting("log-level", Choice(("debug", "info", "warning", "error")), "info", "The least that is logged."),
    Setting("metrics", Choice(("public", "operator")), "public", "Who may read /metrics; they name no user or room."),
    Setting(
        "fast-path", Choice(("auto", "off")), "auto", "auto: plain messages go through compiled code, where it is."
    ),
    Setting("uvloop", Choice(("auto", "off")), "auto", "auto: the faster event loop where it is installed."),
)

GROUPS: tuple[tuple[str, tuple[Setting, ...]], ...] = (
    ("Listening", LISTEN),
    ("Store", STORE),
    ("Identity", IDENTITY),
    ("Limits", LIMITS),
    ("Times", TIMES),
    ("Connections", CONNECTIONS),
    ("Models", MODELS),
    ("Operation", OPERATION),
)

SETTINGS: dict[str, Setting] = {setting.name: setting for _, settings in GROUPS for setting in settings}
