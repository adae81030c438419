"""What the HTTP handlers work with: the running parts of the server, handed in by palaver.server.serve."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from palaver.chat.engine import Engine
from palaver.chat.identity import Identity, Refusal
from palaver.server.app import Running
from palaver.server.canary import Canary
from palaver.server.jwks import JwksSource
from palaver.server.log import Log
from palaver.server.reviews.owner import Reviews
from palaver.server.settings import Settings
from palaver.server.shell import Shell


@dataclass(slots=True, kw_only=True)
class Services:
    """Everything a handler may need.

    `keys` is where keys come from a URL; `reviews` where there are models; `running` once the server listens.
    """

    settings: Settings
    shell: Shell
    engine: Engine
    log: Log
    verify: Callable[[str], Identity | Refusal | Awaitable[Identity | Refusal]]
    canary: Canary
    reviews: Reviews | None = None
    keys: JwksSource | None = None
    running: Running | None = None


SERVICES = web.AppKey("services", Services)
