"""What a log should answer, as plainly as it can be said: everything is kept for ever, and looked through each time."""

import msgspec

from palaver.chat.effects import (
    Append,
    Fates,
    Found,
    Load,
    Loaded,
    LogJob,
    LogResult,
    Page,
    Paged,
    Redact,
    Redacted,
    Save,
    Saved,
    Stored,
)
from palaver.chat.records import Message, Sanction


class Model:
    """A log without limits that is told what time it is."""

    def __init__(self, history: int, age_ms: int | None, epoch: str) -> None:
        self.history, self.age_ms, self.epoch = history, age_ms, epoch
        self.messages: dict[str, list[Message]] = {}
        self.sends: dict[tuple[str, str, str], tuple[int, str, int]] = {}
        self.sanctions: dict[tuple[str, str, str], Sanction] = {}

    def kept(self, room: str, now_ms: int) -> list[Message]:
        every = self.messages.get(room, [])
        floor = len(every) - self.history
        if self.age_ms is not None:
            floor = max([floor, *(m.seq for m in every if m.time < now_ms - self.age_ms)])
        return [message for message in every if message.seq > floor]

    def perform(self, job: LogJob, now_ms: int) -> LogResult:
        match job:
            case Append():
                return self._append(job)
            case Load():
                return Loaded(job, self.kept(job.room, now_ms), len(self.messages.get(job.room, [])))
            case Page():
                low = 0 if job.after is None else job.after
                high = float("inf") if job.before is None else job.before
                within = [m for m in self.kept(job.room, now_ms) if low < m.seq < high]
                chosen = within[: job.limit] if job.after is not None else within[-job.limit :]
                return Paged(job, chosen, complete=chosen == within)
            case Fates():
                found = {cid: self.sends.get((job.room, job.user, cid)) for cid in job.cids}
                return Found(job, {cid: place and place[0] for cid, place in found.items()})
            case Redact():
                for message in self.kept(job.room, now_ms):
                    if message.seq == job.seq:
                        tombstone = msgspec.structs.replace(message, text="", deleted=True)
                        self.messages[job.room][job.seq - 1] = tombstone
                        return Redacted(job, tombstone)
                return Redacted(job, None)
            case Save(sanction=s):
                key = (s.kind, s.room, s.user)
                if key not in self.sanctions or self.sanctions[key].at <= s.at:
                    self.sanctions[key] = s
                return Saved(job)

    def _append(self, job: Append) -> Stored:
        key = (job.room, job.user.id, job.cid or "")
        if job.cid is not None and key in self.sends:
            return Stored(job, *self.sends[key], duplicate=True)
        room = self.messages.setdefault(job.room, [])
        seq = len(room) + 1
        room.append(Message(job.room, seq, self.epoch, job.mid, job.time, job.user, job.text, job.cid))
        if job.cid is not None:
            self.sends[key] = (seq, job.mid, job.time)
        return Stored(job, seq, job.mid, job.time, duplicate=False)
