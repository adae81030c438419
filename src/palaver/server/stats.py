"""What the IO shell counts. Plain integers, added to on the hot path and read by palaver.server.metrics."""

from collections import Counter

from palaver.server.log import Histogram


class Stats:
    """Counters only grow; gauges say so in their comment."""

    __slots__ = (
        "authentications",
        "binary_in",
        "broadcasts",
        "bytes_in",
        "bytes_out",
        "closed",
        "closed_by_client",
        "connections",
        "control_in",
        "deliveries",
        "delivery_seconds",
        "drain_began",
        "drain_connections",
        "evaluation_frames",
        "fast_in",
        "faults",
        "faults_told",
        "handshake_seconds",
        "http_connections",
        "lagging",
        "lagging_total",
        "log_jobs",
        "loop_lag_max_seconds",
        "loop_lag_seconds",
        "opened",
        "presence_merged",
        "refused",
        "slowed_down",
        "stalls",
        "subscriptions",
        "text_in",
        "typing_dropped",
        "verify_seconds",
        "writes",
    )

    def __init__(self) -> None:
        self.opened = 0  # WebSocket connections
        self.connections = 0  # gauge: open WebSocket connections
        self.http_connections = 0  # connections handed to the HTTP server
        self.refused: Counter[str] = Counter()  # first requests that got no connection, by reason
        self.closed: Counter[int] = Counter()  # connections by close code; 1006 is no close frame
        self.closed_by_client: Counter[int] = Counter()  # of these, those that the client began to close, or left
        self.text_in = 0
        self.fast_in = 0  # of these, the messages that took the fast path
        self.binary_in = 0
        self.control_in = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.writes = 0  # calls of the transport
        self.broadcasts = 0
        self.deliveries = 0  # broadcasts times connections
        self.subscriptions = 0  # gauge: connections in rooms
        self.lagging = 0  # gauge: connections off the hot lists
        self.lagging_total = 0
        self.typing_dropped = 0
        self.presence_merged = 0
        self.slowed_down = 0  # times a connection's frames came too fast and reading paused
        self.authentications = 0  # gauge: tokens being verified
        self.log_jobs = 0  # gauge: jobs the log has not answered
        self.faults = 0  # exceptions of the engine or of performing an effect
        self.faults_told = 0  # `internal` errors sent to clients
        self.evaluation_frames = 0  # made for rooms
        self.drain_began: float | None = None  # monotonic
        self.drain_connections = 0  # when it began
        self.stalls = 0  # times the loop stood still for long
        self.loop_lag_seconds = 0.0  # gauge: how late the last tick was
        self.loop_lag_max_seconds = 0.0
        # from taking a message to having broadcast it; of each commit the message that waited longest
        self.delivery_seconds = Histogram((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0))
        # from the first byte's way in to the answer that makes a connection a WebSocket
        self.handshake_seconds = Histogram((0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0))
        self.verify_seconds = Histogram((0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 0.5, 1.0, 5.0))
