import dataclasses
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaver.chat.settings import ChatSettings
from palaver.server.bounds import Bounds
from palaver.server.settings import SETTINGS, SettingsError, effective, gather, load


def write(directory: Path, text: str) -> Path:
    path = directory / "palaver.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_those_of_the_parts_that_obey_them() -> None:
    settings = load()
    assert settings.chat == ChatSettings()
    assert settings.bounds == Bounds(local_hosts_only=True)
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8000)
    assert settings.store.store == "sqlite"
    assert settings.store.data == Path("palaver-data")


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(tmp_path: Path) -> None:
    config = write(tmp_path, "port = 1\nhistory = 1\nleave-grace = 1\n")
    environ = {"PALAVER_PORT": "2", "PALAVER_HISTORY": "2"}
    values = gather({"port": "3"}, environ, config)
    assert [values[name].value for name in ("port", "history", "leave-grace", "text-chars")] == [3, 2, 1.0, 4000]
    assert [values[name].source for name in ("port", "history", "leave-grace", "text-chars")] == [
        "--port",
        "PALAVER_HISTORY",
        str(config),
        "default",
    ]


def test_the_environment_may_name_the_file_and_the_flag_wins(tmp_path: Path) -> None:
    config = write(tmp_path, "port = 1\n")
    assert load(environ={"PALAVER_CONFIG": str(config)}).listen.port == 1
    other = tmp_path / "other.toml"
    other.write_text("port = 2\n")
    assert load(environ={"PALAVER_CONFIG": str(config)}, config=other).listen.port == 2


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "says"),
    [
        ({}, {}, "prot = 1", "'prot'. Did you mean port?"),
        ({}, {"PALAVER_PROT": "1"}, "", "PALAVER_PROT. Did you mean PALAVER_PORT?"),
        ({}, {}, "[server]\nport = 1", "no setting 'server'"),
        ({}, {}, "port = ", "is not TOML"),
        ({}, {}, "port = '70000'", "port must be a whole number from 0 to 65535"),
        ({"port": "-1"}, {}, "", "--port must be a whole number from 0 to 65535, not '-1'"),
        ({}, {"PALAVER_STORE": "disk"}, "", "PALAVER_STORE must be sqlite or memory, not 'disk'"),
        ({"heartbeat-interval": "nan"}, {}, "", "--heartbeat-interval must be 0.05 to 3600 seconds"),
        ({}, {}, "history = true", "history must be a whole number from 0 to 100000, not true"),
        ({"host": "127.0.0.1:80"}, {}, "", "--host must be a host name or an address, without a port (that is --port)"),
        ({"host": "http://localhost"}, {}, "", "--host must be a host name or an address"),
        ({"host": "[::1]"}, {}, "", "--host must be a host name or an address"),
        ({}, {}, "heartbeat-timeout = 'off'", "heartbeat-timeout must be"),
        ({}, {}, "origin = 'chat.example.org'", "an origin like https://"),
        ({}, {}, "origin = ['https://a.example/path']", "an origin like https://"),
        ({}, {}, "trusted-proxy = 'proxy'", "a network like"),
        ({}, {}, "token-jwks-url = 'http://keys.example/'", "an https URL"),
        ({}, {}, "token-jwks-url = 'https://user:pass@keys.example/'", "an https URL"),
        ({"host": "0.0.0.0"}, {}, "", "Use --auth token"),
        ({"host": "chat.example.org"}, {}, "", "Use --auth token"),
        ({"auth": "token"}, {}, "", "needs --token-key"),
        ({"token-key": "k", "token-jwks-url": "https://k/"}, {}, "", "not both"),
        ({"tls-key": "k"}, {}, "", "--tls-certificate and --tls-key"),
        ({"text-chars": "5000", "frame-bytes": "4000"}, {}, "", "larger than --frame-bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(
    flags: dict[str, object], environ: dict[str, str], toml: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ, write(tmp_path, toml))
    assert says in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load(config=tmp_path / "none.toml")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_guests_are_allowed_on_this_machine(host: str) -> None:
    assert load({"host": host}).listen.host == host


def test_guests_are_allowed_elsewhere_when_that_is_wanted() -> None:
    assert load({"host": "0.0.0.0", "guests-anywhere": True}).chat.auth == "guest"
    assert load({"host": "0.0.0.0", "auth": "token", "token-key": "k"}).chat.auth == "token"


def test_names_that_lead_here_are_no_hosts_of_ours_while_guests_chat_on_this_machine_only() -> None:
    assert load().bounds.local_hosts_only
    assert not load({"auth": "token", "token-key": "k"}).bounds.local_hosts_only
    assert not load({"host": "0.0.0.0", "guests-anywhere": True}).bounds.local_hosts_only
    assert not load({"unix-socket": "s"}).bounds.local_hosts_only


def test_limits_may_be_turned_off() -> None:
    settings = load({"messages-per-second": "off", "history-age": "off", "frames-per-second": "off"})
    assert settings.chat.messages is None
    assert settings.chat.history_age_seconds is None
    assert settings.bounds.frames_per_second is None


def test_several_values_come_as_repeated_flags_a_list_or_with_commas(tmp_path: Path) -> None:
    expected = ("https://a.example", "http://b.example:8080")
    flags = {"origin": ("https://A.example", "http://b.example:8080")}
    assert load(flags).bounds.origins == expected
    assert load(environ={"PALAVER_ORIGIN": "https://a.example, http://b.example:8080"}).bounds.origins == expected
    toml = write(tmp_path, "origin = ['https://a.example', 'http://b.example:8080']\ntrusted-proxy = ['10.0.0.0/8']")
    assert load(config=toml).bounds.origins == expected
    assert load(config=toml).bounds.trusted_proxies == (ip_network("10.0.0.0/8"),)


def test_slow_readers_get_the_time_of_the_heartbeat_unless_told_otherwise() -> None:
    assert load({"heartbeat-interval": "3", "heartbeat-timeout": "4"}).bounds.slow_seconds == 7.0
    assert load({"slow-timeout": "9"}).bounds.slow_seconds == 9.0


def test_the_largest_answer_follows_from_what_a_text_may_weigh() -> None:
    assert load().bounds.answer_bytes == 1_700_000
    assert load({"text-chars": "10"}).bounds.answer_bytes == 104_000
    assert load({"text-chars": "60000"}).bounds.answer_bytes == 100 * (65_536 + 1_000), "a text fits into a frame"


def test_the_effective_settings_are_a_file_that_means_the_same(tmp_path: Path) -> None:
    flags: dict[str, object] = {
        "origin": ("https://a.example",),
        "history-age": "60",
        "messages-per-second": "off",
        "data": 'we"ird\\dir',
        "guests-anywhere": True,
    }
    text = effective(gather(flags, {}, None))
    assert tomllib.loads(text)
    assert load(config=write(tmp_path, text)) == load(flags)
    assert '["https://a.example"]' in text
    assert "# --origin" in text


def test_the_effective_settings_show_no_query_of_a_url() -> None:
    text = effective(gather({"token-jwks-url": "https://keys.example/jwks?apikey=hush"}, {}, None))
    assert "https://keys.example/jwks" in text
    assert "hush" not in text


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_default_is_a_value_that_its_kind_accepts(setting: object) -> None:
    row = SETTINGS[getattr(setting, "name", "")]
    text = row.kind.text(row.default)
    if text:
        assert row.kind.read(text) == row.default
    assert row.help.endswith(".")


@given(
    st.sampled_from(sorted(SETTINGS)), st.text(max_size=20) | st.integers() | st.floats() | st.booleans() | st.none()
)
def test_no_value_raises_anything_but_a_settings_error(name: str, value: object) -> None:
    message = f"--{name} must be"
    try:
        gather({name: value}, {}, None)
    except SettingsError as error:
        message = str(error)
    assert message.startswith(f"--{name} must be")


def test_the_tree_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(load().listen, "port", 1)  # noqa: B010 - mypy would rightly refuse the plain form


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "chat.example.org", "fe80::1%eth0"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert gather({"host": host}, {}, None)["host"].value == host
