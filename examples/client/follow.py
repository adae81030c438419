"""Print a room, and go on exactly where the last run stopped: no message twice, none left out, gaps said.

Run it with `python examples/client/follow.py ROOM FILE [url]`. FILE remembers the place, and the guest's session.
"""

import asyncio
import json
import sys
from pathlib import Path

from palaver.client import Gap, Position, connect


async def main(room: str, file: Path, url: str) -> None:
    """Print until stopped."""
    since, session = recall(file)
    async with connect(url, name="follower", session=session) as chat:
        async for event in chat.join(room, since=since):
            if isinstance(event, Gap):
                print(event, flush=True)
                continue
            print(f"{event.seq:>5} {event.user.name}: {event.text}", flush=True)
            # The place of what is printed; chat.join(...).position is of what has arrived.
            remember(file, Position(event.epoch, event.seq), chat.session)


def recall(file: Path) -> tuple[Position | None, str | None]:
    """Where the last run stopped, and who it was."""
    if not file.exists():
        return None, None
    known = json.loads(file.read_text())
    return Position(known["epoch"], known["seq"]), known["session"]


def remember(file: Path, place: Position, session: str | None) -> None:
    """Replace the file in one step, so that it is never half written."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"epoch": place.epoch, "seq": place.seq, "session": session}))
    new.replace(file)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:8000"))
    except KeyboardInterrupt:
        pass
