"""A bot that repeats what it is asked to: say `!echo hello` in the room, and it says `hello`.

Run it with `python examples/client/echo_bot.py [url]` beside `make serve`.
"""

import asyncio
import sys

from palaver.client import Gap, Refused, connect


async def main(url: str) -> None:
    """Answer until stopped."""
    async with connect(url, name="echo") as chat:
        room = chat.join("lobby", history=False)  # what was said before the bot came is not for it
        await room.send("Say !echo and something.")
        async for event in room:
            if isinstance(event, Gap) or event.user == chat.user:
                continue
            command, _, text = event.text.partition(" ")
            if command == "!echo" and text:
                try:
                    await room.send(text, cid=f"echo-{event.mid}", give_up_after=60)
                except Refused as error:
                    print(f"not said: {error}", file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
    except KeyboardInterrupt:
        pass
