"""The composition root: from settings to a server that listens, and back to nothing.

Every part is made here and given what it needs; no part looks for another. Invariant: what was opened is closed in
the reverse order, also when a later part cannot be opened.

    StartError   the server cannot start; the text says why and what to do
"""

import asyncio
import gc
import secrets
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog

from palaver import __version__
from palaver.breaker import CircuitBreaker
from palaver.chat.engine import Engine
from palaver.review.errors import ReviewError
from palaver.server import clock
from palaver.server.app import Address, Running, start
from palaver.server.canary import Canary
from palaver.server.drain import drain, until_signal
from palaver.server.fastpath.ordinary import OrdinaryPath
from palaver.server.http.services import Services
from palaver.server.http.site import make_app
from palaver.server.identity import Verifier
from palaver.server.jwks import JwksSource, http_fetch
from palaver.server.keys import Key, KeyFileError, operator_key, read_key_file
from palaver.server.log import Log, LogError, MemoryLog, Retention, SqliteLog
from palaver.server.reviews.opening import opened
from palaver.server.settings import ListenSettings, Settings
from palaver.server.shell import Shell

SERVER = f"palaver/{__version__}"

journal = structlog.get_logger("palaver.server")


class StartError(Exception):
    """The server cannot start."""


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `announce` gets the address when the server listens.

    Raises StartError.
    """
    async with AsyncExitStack() as stack:
        running, _ = await open_server(settings, stack)
        signalled = asyncio.create_task(until_signal())
        await asyncio.sleep(0)  # from here on a signal drains
        settle_garbage_collector()
        url = public_url(settings.listen, running)
        journal.info(
            "listening",
            url=url,
            version=__version__,
            store=settings.store.store,
            auth=settings.chat.auth,
            loop=type(running.shell.loop).__module__.partition(".")[0],
            fast_path=not isinstance(running.shell.fast_path, OrdinaryPath),
        )
        announce(url)
        await signalled
        await drain(
            running,
            window_seconds=settings.operation.drain_window_seconds,
            deadline_seconds=settings.operation.drain_deadline_seconds,
        )


async def open_server(settings: Settings, stack: AsyncExitStack) -> tuple[Running, Services]:
    """Open everything that `settings` ask for and listen; `stack` closes it. Raises StartError."""
    try:
        address = listen_address(settings.listen)
        log = open_log(settings)
        stack.push_async_callback(log.close)
        keys = token_keys(settings)
    except (LogError, KeyFileError) as error:
        raise StartError(str(error)) from error
    if isinstance(keys, JwksSource):
        stack.push_async_callback(keys.close)
    verify = Verifier(
        keys,
        clock=clock.monotonic,
        wall_clock=clock.wall,
        issuer=settings.tokens.issuer,
        audience=settings.tokens.audience,
        leeway_seconds=settings.tokens.leeway_seconds,
    )
    canary = Canary(clock=clock.monotonic)
    engine = make_engine(settings, log)
    shell = Shell(
        engine,
        log,
        bounds=settings.bounds,
        verify=canary.also(verify),
        clock=clock.monotonic,
        wall_clock=clock.wall,
        fast=settings.operation.fast_path,
    )
    try:
        reviews = await stack.enter_async_context(opened(settings, shell))
    except ReviewError as error:
        raise StartError(str(error)) from error
    services = Services(
        settings=settings,
        reviews=reviews,
        shell=shell,
        engine=engine,
        log=log,
        verify=verify,
        canary=canary,
        keys=keys if isinstance(keys, JwksSource) else None,
    )
    try:
        running = await start(shell, [address], make_app(services))
    except OSError as error:
        raise StartError(f"Cannot listen on {where(settings.listen)}: {error.strerror or error}.") from error
    stack.push_async_callback(running.stop)
    stack.push_async_callback(canary.close)
    services.running = running
    if reviews is not None:
        running.end_first(reviews.close)
        try:
            await reviews.resume()
        except OSError as error:
            text = f"Cannot keep evaluations in {settings.reviews.directory}: {error.strerror or error}."
            raise StartError(text) from error
    canary.watch(running)
    return running, services


def settle_garbage_collector() -> None:
    """What the start made stays for good, and a busy server makes containers by the thousand that are no cycles.

    With Python's defaults up to a tenth of the time of a busy server goes into looking for garbage that is not there.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def open_log(settings: Settings) -> Log:
    """Open the store. Raises LogError."""
    retention = Retention(settings.chat.history, settings.chat.history_age_seconds)
    if settings.store.store == "memory":
        return MemoryLog(retention, now_ms=clock.wall_ms)
    return SqliteLog(settings.store.data, retention, now_ms=clock.wall_ms)


def make_engine(settings: Settings, log: Log) -> Engine:
    """The engine over a log."""
    return Engine(
        settings.chat,
        epoch=log.epoch,
        durability=log.durability,
        node=settings.operation.node,
        server=SERVER,
        secret=log.secret,
        entropy=secrets.token_bytes,
        wall=clock.wall() - clock.monotonic(),
        sanctions=log.sanctions(),
    )


def token_keys(settings: Settings) -> tuple[Key, ...] | JwksSource:
    """Where the keys for tokens are. Raises KeyFileError."""
    tokens = settings.tokens
    if tokens.jwks_url is not None:
        breaker = CircuitBreaker("token-keys")
        return JwksSource(http_fetch(tokens.jwks_url), clock=clock.monotonic, guard=breaker.acall)
    return operator_key(settings.store.data) if tokens.key is None else read_key_file(tokens.key)


def listen_address(listen: ListenSettings) -> Address:
    """Where to listen, with the TLS files loaded. Raises StartError."""
    tls = None
    if listen.tls_certificate is not None and listen.tls_key is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.set_alpn_protocols(["http/1.1"])
        try:
            tls.load_cert_chain(listen.tls_certificate, listen.tls_key, password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = f"{listen.tls_certificate} and {listen.tls_key}"
            raise StartError(f"Cannot use {files} for TLS: {_why_not(listen, error)}.") from error
    return Address(host=listen.host, port=listen.port, unix=listen.unix_socket, tls=tls)


def _why_not(listen: ListenSettings, error: Exception) -> str:
    """OpenSSL names neither the file nor what is wrong with it."""
    for file in (listen.tls_certificate, listen.tls_key):
        assert file is not None, "both were given"
        try:
            text = file.read_bytes()
        except OSError as unread:
            return f"{file}: {unread.strerror}"
        if b"-----BEGIN " not in text:
            return f"{file} is not in PEM form"
    return str(error)


def _no_password() -> str:
    raise ValueError("the key is encrypted; give an unencrypted one")


def where(listen: ListenSettings) -> str:
    """What was asked for, for messages."""
    return str(listen.unix_socket) if listen.unix_socket is not None else f"{listen.host}:{listen.port}"


def public_url(listen: ListenSettings, running: Running) -> str:
    """The address to open, with the port that was really taken."""
    if listen.unix_socket is not None:
        return f"unix:{listen.unix_socket}"
    scheme = "http" if listen.tls_certificate is None else "https"
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{scheme}://{host}:{running.addresses[0][1]}"
