"""How often is too often. Plain arithmetic on monotonic seconds; the clock is a parameter.

Two shapes. `SlidingWindow` is exact (at most N in *any* window, whatever the phase) and is what a user's messages are
counted with. A bucket is one float, the "theoretical arrival time" of the generic cell rate algorithm (ITU-T I.371),
and is what everything is guarded with of which there may be very many.
"""

from collections import deque
from math import ceil

_ROUNDING = 1e-9  # seconds; below what sums of floats can be trusted to


class SlidingWindow:
    """At most `limit` events in any span of `seconds`. Refused events leave no trace. Amortised O(1)."""

    __slots__ = ("_limit", "_seconds", "_times")

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._times: deque[float] = deque()  # of the events that still count, oldest first

    def wait(self, now: float) -> float:
        """Seconds until one more event is allowed; 0.0 if it is allowed now."""
        times = self._times
        if len(times) < self._limit:
            return 0.0
        while times and times[0] + self._seconds <= now:
            times.popleft()
        return 0.0 if len(times) < self._limit else times[0] + self._seconds - now

    def take(self, now: float) -> None:
        """Count one event. Only after `wait(now)` said 0.0."""
        self._times.append(now)

    def admit(self, now: float) -> bool:
        """Count one event if it is allowed now; says whether it was."""
        times = self._times
        if len(times) >= self._limit and self.wait(now) > 0.0:
            return False
        times.append(now)
        return True

    def give_back(self, taken: float) -> None:
        """Forget the event counted at `taken`, if it is still remembered: it turned out not to have happened."""
        try:
            self._times.remove(taken)
        except ValueError:
            pass  # so long ago that it weighs nothing

    def standing(self, now: float) -> tuple[int, float]:
        """How many events are allowed now, and the seconds until nothing counts any more."""
        times = self._times
        while times and times[0] + self._seconds <= now:
            times.popleft()
        return self._limit - len(times), times[-1] + self._seconds - now if times else 0.0

    def remaining(self, now: float) -> int:
        """How many events are allowed now."""
        return self.standing(now)[0]

    def copy(self) -> "SlidingWindow":
        """Another window with the same past."""
        other = SlidingWindow(self._limit, self._seconds)
        other._times.extend(self._times)
        return other

    def reset(self, now: float) -> float:
        """Seconds until nothing counts any more."""
        return self.standing(now)[1]


class Bucket:
    """The rule of a bucket: `rate` events a second, `burst` at once. The state of each is one float kept elsewhere.

    A bucket whose state is not after `now` is empty: one more event is allowed, and the state after it is
    `now + interval`. Where nearly every bucket is, that can be had without a call.
    """

    __slots__ = ("_tolerance", "interval")

    def __init__(self, rate: float, burst: float) -> None:
        self.interval = 1.0 / rate  # seconds
        self._tolerance = self.interval * (burst - 1)

    def wait(self, arrival: float, now: float) -> float:
        """Seconds until one more event is allowed by the state `arrival`; 0.0 if it is allowed now."""
        wait = arrival - self._tolerance - now
        return wait if wait > _ROUNDING else 0.0

    def take(self, arrival: float, now: float) -> float:
        """The state after one more event."""
        return (arrival if arrival > now else now) + self.interval  # noqa: FURB136 - max() takes twice as long


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded up: after so long the request *is* accepted."""
    return ceil(seconds * 1000)


class UserWindows:
    """Each user's window of accepted messages, kept while it weighs anything.

    A guest who comes back from the same address under another identity begins with the past of a guest who left there:
    reconnecting and renaming buy nothing. An honest neighbour waits at most one window: it is the past that is taken
    over and not the window, because the guest who left may come back too and go on with theirs.
    """

    __slots__ = ("_left_behind", "_limit", "_seconds", "_windows")

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._windows: dict[str, SlidingWindow] = {}
        self._left_behind: dict[str, list[SlidingWindow]] = {}  # by address

    def __len__(self) -> int:
        return len(self._windows) + len(self._left_behind)

    def of(self, user_id: str) -> SlidingWindow:
        """The user's window."""
        window = self._windows.get(user_id)
        if window is None:
            window = self._windows[user_id] = SlidingWindow(self._limit, self._seconds)
        return window

    def leave_behind(self, user_id: str, ip: str, now: float) -> None:
        """A guest's last connection is gone: what they sent lately stays with the address."""
        window = self._windows.get(user_id)
        if window is None or window.reset(now) == 0.0:
            return
        left_behind = self._left_behind.setdefault(ip, [])
        if window not in left_behind:
            left_behind.append(window)

    def take_over(self, user_id: str, ip: str, now: float) -> None:
        """A new guest starts with the past of the fullest window left behind at the address, if there is one."""
        windows = self._left_behind.get(ip)
        if windows:
            fullest = min(windows, key=lambda window: window.remaining(now))
            windows.remove(fullest)
            self._windows[user_id] = fullest.copy()

    def sweep(self, now: float) -> None:
        """Forget what weighs nothing any more."""
        self._windows = {user: window for user, window in self._windows.items() if window.reset(now) > 0.0}
        alive = {ip: [one for one in windows if one.reset(now) > 0.0] for ip, windows in self._left_behind.items()}
        self._left_behind = {ip: windows for ip, windows in alive.items() if windows}


class Pace:
    """How fast one room may be talked in: the state of its bucket, and of its slow mode."""

    __slots__ = ("_spoke", "arrival")

    def __init__(self) -> None:
        self.arrival = 0.0  # state of the room's Bucket
        self._spoke: dict[str, tuple[float, float]] = {}  # user id -> when they spoke, and when they may again

    def pause(self, user_id: str, seconds: float, now: float) -> float:
        """Seconds until the user may speak where everybody waits `seconds` between two messages; 0.0 for now."""
        spoke, until = self._spoke.get(user_id, (now - seconds, now))
        return max(0.0, min(until, spoke + seconds) - now)  # slow mode may be shorter by now, or longer

    def spoke(self, user_id: str, seconds: float, now: float) -> None:
        """The user says something and has to wait before the next."""
        self._spoke[user_id] = now, now + seconds

    def give_back(self, user_id: str) -> None:
        """What the user wanted to say was not stored after all."""
        self._spoke.pop(user_id, None)

    def weighs(self, now: float) -> bool:
        """Whether anybody would have to wait. Forgets who would not."""
        self._spoke = {user: (spoke, until) for user, (spoke, until) in self._spoke.items() if until > now}
        return self.arrival > now or bool(self._spoke)


class RoomPaces:
    """Each room's pace, kept while it weighs anything, whether or not somebody is in the room."""

    __slots__ = ("_paces",)

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def __len__(self) -> int:
        return len(self._paces)

    def of(self, room: str) -> Pace:
        """The room's pace."""
        pace = self._paces.get(room)
        if pace is None:
            pace = self._paces[room] = Pace()
        return pace

    def sweep(self, now: float) -> None:
        """Forget what weighs nothing any more."""
        self._paces = {room: pace for room, pace in self._paces.items() if pace.weighs(now)}
