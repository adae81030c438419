"""The server that the other tests run on: what it forgets, what it keeps, and that it can be paused."""

import pytest
import redis

from tests.valkey import Valkey, ValkeyFactory


def test_a_killed_server_without_persistence_forgets(own_valkey: Valkey) -> None:
    with own_valkey.client() as client:
        client.set("key", "value")
        own_valkey.restart()
        assert client.get("key") is None


def test_a_killed_server_with_an_append_only_file_remembers(valkey_factory: ValkeyFactory) -> None:
    server = valkey_factory(appendonly="yes", appendfsync="always")
    with server.client() as client:
        client.set("key", "value")
        server.restart()
        assert client.get("key") == b"value"


def test_a_paused_server_is_silent_and_then_goes_on(own_valkey: Valkey) -> None:
    with own_valkey.client(socket_timeout=1.0, retry=None) as client:
        client.set("key", "value")
        own_valkey.pause()
        with pytest.raises(redis.TimeoutError):
            client.get("key")
        own_valkey.resume()
        own_valkey.stop()
        with pytest.raises(redis.ConnectionError):
            client.get("key")


def test_the_shared_server_is_empty_at_the_start_of_a_test(valkey: Valkey) -> None:
    with valkey.client() as client:
        assert client.dbsize() == 0
