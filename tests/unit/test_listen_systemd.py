"""Socket units: what they open, with drop-ins and masks; and the drop-in that is written, or told."""

from __future__ import annotations

import random
from typing import Any

import listen_systemd
import pytest
from salt.exceptions import CommandExecutionError, SaltInvocationError

SITE = {"names": ["a.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": ["2001:db8::1"]}}
ETC, RUN, LIB = "/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system"

# Debian's own, shortened.
SSH = """\
[Unit]
Description=OpenBSD Secure Shell server socket
ConditionPathExists=!/etc/ssh/sshd_not_to_be_run

[Socket]
ListenStream=22
Accept=no

[Install]
WantedBy=sockets.target
"""
DOVECOT = """\
[Socket]
#dovecot expects separate IPv4 and IPv6 sockets
BindIPv6Only=ipv6-only
ListenStream=0.0.0.0:143
ListenStream=[::]:143
"""
EPMD = "[Socket]\nListenStream=4369\nBindIPv6Only=both\nAccept=false\n"
MARIADB = "[Socket]\nListenStream=@mariadb\nListenStream=/run/mysqld/mysqld.sock\nListenStream=3306\n"


def given(**units: str) -> dict[str, dict[str, Any]]:
    """Units of /lib by their names; a path with slashes stands for itself."""
    return {
        name if name.startswith("/") else f"{LIB}/{name}.socket": {"text": text, "includes": []}
        for name, text in units.items()
    }


def seen(files: dict[str, dict[str, Any]]) -> list[tuple]:
    keys = ("port", "transport", "address", "v6only", "note")
    return [tuple(each[key] for key in keys) for each in listen_systemd.listeners(files)]


def refusal(files: dict[str, dict[str, Any]], bindv6only: int = 0) -> str:
    with pytest.raises(SaltInvocationError) as raised:
        listen_systemd.dual_stack(files, {}, bindv6only)
    return str(raised.value)


def test_debians_units_are_seen() -> None:
    files = given(ssh=SSH, dovecot=DOVECOT, epmd=EPMD, mariadb=MARIADB)
    assert seen(files) == [
        (22, "tcp", "::", None, "ssh.socket"),
        (143, "tcp", "0.0.0.0", None, "dovecot.socket"),
        (143, "tcp", "::", True, "dovecot.socket"),
        (4369, "tcp", "::", False, "epmd.socket"),
        (3306, "tcp", "::", None, "mariadb.socket"),
    ]
    places = [(each["file"], each["line"]) for each in listen_systemd.listeners(files)]
    assert places[0] == (f"{LIB}/ssh.socket", 6)
    assert places[4] == (f"{LIB}/mariadb.socket", 4)


def test_debians_units_are_dual_stack_as_long_as_the_sysctl_is_0() -> None:
    assert listen_systemd.dual_stack(given(dovecot=DOVECOT, epmd=EPMD), {}, 1)["bindv6only"] is None
    assert listen_systemd.dual_stack(given(ssh=SSH, epmd=EPMD), {}) == {
        "files": {},
        "bindv6only": 0,
        "notes": [],
        "missing": [],
    }
    assert refusal(given(ssh=SSH, epmd=EPMD, mariadb=MARIADB), 1) == (
        "ssh.socket does not serve both families on tcp/22; "
        f"add it to `units`, or write {ETC}/ssh.socket.d/dualstack.conf with the lines [Socket], BindIPv6Only=both\n"
        "mariadb.socket does not serve both families on tcp/3306; "
        f"add it to `units`, or write {ETC}/mariadb.socket.d/dualstack.conf with the lines [Socket], BindIPv6Only=both"
    )


@pytest.mark.parametrize("bindv6only", [0, 1])
@pytest.mark.parametrize(
    "socket",
    [
        "ListenStream=0.0.0.0:22",
        "BindIPv6Only=ipv6-only\nListenStream=22",
        "BindIPv6Only=both\nListenStream=0.0.0.0:22\nListenStream=[::]:22",
        "ListenStream=0.0.0.0:22\nListenStream=23\nListenDatagram=0.0.0.0:24\nListenStream=[::]:25",
    ],
)
def test_the_advice_works(socket: str, bindv6only: int) -> None:
    files = given(a=f"[Socket]\n{socket}\n")
    path, _, lines = refusal(files).partition(", or write ")[2].partition(" with the lines ")
    files[path] = {"text": lines.replace(", ", "\n"), "includes": []}
    assert listen_systemd.dual_stack(files, {}, bindv6only) == {
        "files": {},
        "bindv6only": None,
        "notes": [],
        "missing": [],
    }


def test_two_sockets_that_leave_it_to_the_kernel_demand_1() -> None:
    files = given(a="[Socket]\nListenStream=0.0.0.0:22\nListenStream=[::]:22\n")
    assert listen_systemd.dual_stack(files, {}, 1)["bindv6only"] == 1
    assert "BindIPv6Only=ipv6-only" in refusal(files, 0)


@pytest.mark.parametrize(
    ("socket", "listeners"),
    [
        ("ListenStream = 22", [(22, "tcp", "::", None, "a.socket")]),
        ("ListenStream=[::]:22", [(22, "tcp", "::", None, "a.socket")]),
        ("ListenStream=[0::0]:22", [(22, "tcp", "::", None, "a.socket")]),
        ("ListenStream=127.0.0.1:22", [(22, "tcp", "127.0.0.1", None, "a.socket")]),
        ("ListenStream=[fe80::1]:22%eth0", [(22, "tcp", "fe80::1", None, "a.socket")]),
        ("ListenDatagram=69", [(69, "udp", "::", None, "a.socket")]),
        ("ListenStream=2\\\n# between\n2", [(None, "tcp", "2 2", None, "a.socket: no address that systemd knows")]),
        ("ListenStream=\\\n; between\n  22\r", [(22, "tcp", "::", None, "a.socket")]),
        ("ListenStream=22\\", [(22, "tcp", "::", None, "a.socket")]),
        ("ListenStream=%i", [(None, "tcp", "%i", None, "a.socket: a specifier: cannot decide")]),
        ("ListenStream=ssh", [(None, "tcp", "ssh", None, "a.socket: no address that systemd knows")]),
        ("ListenStream=1.2.3.4.5:22", [(None, "tcp", "1.2.3.4.5:22", None, "a.socket: no address that systemd knows")]),
        ("ListenStream=70000", [(None, "tcp", "70000", None, "a.socket: no address that systemd knows")]),
        ("ListenStream=/run/x\nListenStream=@x\nListenStream=vsock:2:22\nListenFIFO=/run/y", []),
        ("ListenStream=22\nListenStream=\nListenStream=23", [(23, "tcp", "::", None, "a.socket")]),
        ("ListenStream=22\nListenDatagram=", []),
        ("#ListenStream=22\n;ListenStream=23\nliststream=24", []),
        ("[Install]\nListenStream=22", []),
        ("ListenStream=22\nBindIPv6Only=both", [(22, "tcp", "::", False, "a.socket")]),
        ("BindIPv6Only=both\nBindIPv6Only=nonsense\nListenStream=22", [(22, "tcp", "::", False, "a.socket")]),
        ("BindIPv6Only=yes\nListenStream=22", [(22, "tcp", "::", True, "a.socket")]),
        ("BindIPv6Only=both\nBindIPv6Only=default\nListenStream=22", [(22, "tcp", "::", None, "a.socket")]),
    ],
)
def test_every_form_of_a_socket_is_known(socket: str, listeners: list[tuple]) -> None:
    assert seen(given(a=f"[Socket]\n{socket}")) == listeners


def test_a_unit_of_etc_masks_that_of_lib() -> None:
    files = given(ssh=SSH)
    assert seen({f"{ETC}/ssh.socket": {"text": "", "includes": []}, **files}) == []
    files[f"{RUN}/ssh.socket"] = {"text": "[Socket]\nListenStream=2222\n", "includes": []}
    assert [each["port"] for each in listen_systemd.listeners(files)] == [2222]


def test_drop_ins_belong_to_their_unit_in_the_order_of_their_names() -> None:
    texts = {
        f"{LIB}/ssh-alt.socket": SSH,
        f"{ETC}/ssh-alt.socket.d/50-port.conf": "[Socket]\nListenStream=\nListenStream=2222\n",
        f"{LIB}/ssh-alt.socket.d/50-port.conf": "[Socket]\nListenStream=2223\n",
        f"{LIB}/ssh-alt.socket.d/40-early.conf": "[Socket]\nListenStream=2224\n",
        f"{ETC}/ssh-.socket.d/60-more.conf": "[Socket]\nListenStream=2225\n",
        f"{ETC}/socket.d/70-all.conf": "[Socket]\nBindIPv6Only=both\n",
        f"{ETC}/ssh.socket.d/80-other.conf": "[Socket]\nListenStream=2226\n",
    }
    found = listen_systemd.listeners(given(**texts))
    assert [(each["port"], each["v6only"]) for each in found] == [(2222, False), (2225, False)]
    assert found[0]["file"] == f"{ETC}/ssh-alt.socket.d/50-port.conf"
    assert {each["note"] for each in found} == {"ssh-alt.socket"}


def test_templates_do_not_listen_and_their_instances_do() -> None:
    files = {f"{LIB}/{name}.socket": {"text": SSH, "includes": []} for name in ("a@", "a@b")}
    assert [each["note"] for each in listen_systemd.listeners(files)] == ["a@b.socket"]


def test_single_addresses_are_left_alone() -> None:
    plan = listen_systemd.dual_stack(given(a="[Socket]\nListenStream=127.0.0.1:22\n"), {}, 1)
    notes = [f"{LIB}/a.socket:2: a.socket: `127.0.0.1`: left alone"]
    assert plan == {"files": {}, "bindv6only": None, "notes": notes, "missing": []}


def test_the_plain_data_of_the_service() -> None:
    about = listen_systemd.about()
    for pattern in (f"{ETC}/*.socket", f"{RUN}/*.socket", f"{LIB}/*.socket", f"{ETC}/*.socket.d/*.conf"):
        assert pattern in about["files"]
    assert set(about) >= {"files", "processes", "executables", "users", "units", "init", "options", "check", "words"}
    assert (about["units"], about["init"], about["check"]) == (["*.socket"], "", [])
    assert list(about["options"]) == ["units"]
    assert listen_systemd.includes(f"{LIB}/ssh.socket", SSH) == []
    assert listen_systemd.dual_stack({}, {}) == {"files": {}, "bindv6only": None, "notes": [], "missing": []}


def test_no_text_whatever_is_a_traceback() -> None:
    chance = random.Random(4)
    whole = SSH + DOVECOT + MARIADB
    pieces = [*whole.splitlines(keepends=True), "Listen", "Stream=", *"[]:%\\#;=\n\r\t\0\udcff9.", "::", "65536", "²"]
    for _ in range(500):
        text = "".join(chance.choices(pieces, k=20)) if chance.random() < 0.7 else whole[: chance.randrange(len(whole))]
        listen_systemd.listeners(given(a=text))
        try:
            assert listen_systemd.dual_stack(given(a=text), {}, chance.randrange(2))["files"] == {}
        except SaltInvocationError as error:
            assert str(error).startswith("a.socket does not serve both families on ")


@pytest.mark.parametrize(
    ("word", "v6only"),
    [
        *((word, False) for word in ("both", "0", "no", "n", "false", "f", "off")),
        *((word, True) for word in ("ipv6-only", "1", "yes", "y", "true", "t", "on")),
        ("default", None),
    ],
)
def test_every_word_for_the_families(word: str, v6only: bool | None) -> None:
    assert seen(given(a=f"[Socket]\nListenStream=22\nBindIPv6Only={word}\n"))[0][3] is v6only


@pytest.mark.parametrize(
    "kind",
    [
        *("Stream", "Datagram", "SequentialPacket", "FIFO"),
        *("Special", "Netlink", "MessageQueue", "USBFunction"),
    ],
)
def test_an_empty_value_of_any_kind_takes_all_sockets_back(kind: str) -> None:
    assert seen(given(a=f"[Socket]\nListenStream=22\nListen{kind}=\nListenStream=23\n")) == [
        (23, "tcp", "::", None, "a.socket")
    ]


@pytest.mark.parametrize(("port", "known"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_the_limits_of_a_port(port: int, known: bool) -> None:
    assert seen(given(a=f"[Socket]\nListenStream={port}\n"))[0][0] == (port if known else None)


def test_units_in_other_folders_and_of_other_kinds_are_none() -> None:
    others = {f"{LIB}/a.service": SSH, "/home/me/a.socket": SSH, f"{LIB}/sub/a.socket": SSH}
    assert seen(given(**others)) == []
    local = given(**{"/usr/local/lib/systemd/system/a.socket": SSH, "/usr/lib/systemd/system/b.socket": SSH})
    assert [each[4] for each in seen(local)] == ["a.socket", "b.socket"]


# --- drop-ins


def drop_in(files: dict[str, dict[str, Any]], site: dict[str, Any] | None = None) -> list[str]:
    """The lines of the drop-in that a.socket gets, after a check that it is enough, whatever the sysctl is."""
    found = listen_systemd.dual_stack(files, {"units": ["a.socket"]}, 0, site)["files"]
    after = {**files, **{path: {"text": text, "includes": []} for path, text in found.items()}}
    for bindv6only in (0, 1):
        again = listen_systemd.dual_stack(after, {"units": ["a.socket"]}, bindv6only, site)
        assert (again["files"], again["bindv6only"]) == ({}, None)
    assert set(found) <= {f"{ETC}/a.socket.d/dualstack.conf", f"{ETC}/a.socket.d/zz-dualstack.conf"}
    lines = "".join(found.values()).splitlines()
    assert not lines or (lines[0][0], lines[1:3]) == ("#", ["[Socket]", "ListenStream="])
    return lines[3:]


PAIR = ["ListenStream=0.0.0.0:22", "ListenStream=[::]:22"]


@pytest.mark.parametrize(
    ("socket", "lines"),
    [
        ("ListenStream=22", [*PAIR, "BindIPv6Only=ipv6-only"]),
        ("ListenStream=0.0.0.0:22", [*PAIR, "BindIPv6Only=ipv6-only"]),
        ("ListenStream=22\nBindIPv6Only=ipv6-only", [*PAIR, "BindIPv6Only=ipv6-only"]),
        ("ListenStream=0.0.0.0:22\nListenStream=[::]:22", [*PAIR, "BindIPv6Only=ipv6-only"]),
        (
            "ListenStream=/run/x\nListenStream=22\nListenFIFO=/run/y\nListenDatagram=53\nListenStream=127.0.0.1:23",
            [
                *("ListenStream=/run/x", *PAIR, "ListenFIFO=/run/y", "ListenDatagram=0.0.0.0:53"),
                *("ListenDatagram=[::]:53", "ListenStream=127.0.0.1:23", "BindIPv6Only=ipv6-only"),
            ],
        ),
        # What serves both families in any case.
        ("ListenStream=22\nBindIPv6Only=both", []),
        ("ListenStream=0.0.0.0:22\nListenStream=[::]:22\nBindIPv6Only=ipv6-only", []),
        ("ListenStream=127.0.0.1:22\nListenStream=/run/x", []),
        ("ListenStream=192.0.2.1:22", []),
        ("ListenStream=%i", []),
    ],
)
def test_the_drop_in_of_a_unit(socket: str, lines: list[str]) -> None:
    assert drop_in(given(a=f"[Socket]\n{socket}\n")) == lines


@pytest.mark.parametrize(
    ("socket", "lines"),
    [
        ("ListenStream=192.0.2.1:22", ["ListenStream=192.0.2.1:22", "ListenStream=[2001:db8::1]:22"]),
        ("ListenStream=192.0.2.1:22\nListenStream=[2001:db8::1]:22", []),
        ("ListenStream=192.0.2.9:22", []),
        ("ListenStream=0.0.0.0:22\nListenStream=[2001:db8::1]:22", []),
    ],
)
def test_a_unit_on_a_published_address(socket: str, lines: list[str]) -> None:
    assert drop_in(given(a=f"[Socket]\n{socket}\n"), SITE) == lines
    assert "does not serve" not in str(listen_systemd.dual_stack(given(a=f"[Socket]\n{socket}\n"), {}, 1, SITE))


def test_two_published_addresses_get_the_same_one() -> None:
    site = {"names": [], "addresses": {"ipv4": ["192.0.2.1", "192.0.2.2"], "ipv6": ["2001:db8::1"]}}
    unit = given(a="[Socket]\nListenStream=192.0.2.1:22\nListenStream=192.0.2.2:22\n")
    assert sorted(drop_in(unit, site)) == [
        *("ListenStream=192.0.2.1:22", "ListenStream=192.0.2.2:22", "ListenStream=[2001:db8::1]:22"),
    ]


def test_an_address_that_is_not_there_is_missing() -> None:
    site = {"names": ["a.example.org"], "addresses": {"ipv4": ["192.0.2.1"], "ipv6": []}}
    result = listen_systemd.dual_stack(
        given(a="[Socket]\nListenStream=192.0.2.1:22\n"), {"units": ["a.socket"]}, 0, site
    )
    (missing,) = result["missing"]
    assert (result["files"], missing["names"], missing["port"]) == ({}, ["a.example.org"], 22)
    assert missing["said"].startswith(f"{LIB}/a.socket:2: a.socket: `ListenStream=192.0.2.1:22`: this address is ")
    mixed = given(a="[Socket]\nListenStream=0.0.0.0:22\nListenStream=[2001:db8::1]:22\n")
    result = listen_systemd.dual_stack(mixed, {"units": ["a.socket"]})
    assert result["files"] == {}
    assert "beside `2001:db8::1` there can be no socket" in result["missing"][0]["said"]


def test_a_drop_in_counts_after_all_others_and_follows_the_unit() -> None:
    override = f"{ETC}/a.socket.d/override.conf"
    files = given(**{"a": "[Socket]\nListenStream=22\n", override: "[Socket]\nListenStream=\nListenStream=2222\n"})
    (path,) = listen_systemd.dual_stack(files, {"units": ["a.socket"]})["files"]
    assert path == f"{ETC}/a.socket.d/zz-dualstack.conf"
    assert drop_in(files)[0] == "ListenStream=0.0.0.0:2222"
    # Ours is not what the next one is made of.
    found = listen_systemd.dual_stack(given(a=SSH), {"units": ["a.socket"]})["files"]
    files = {
        **given(a=SSH.replace("22", "2022")),
        **{each: {"text": text, "includes": []} for each, text in found.items()},
    }
    assert drop_in(files)[0] == "ListenStream=0.0.0.0:2022"
    late = given(**{"a": SSH, f"{ETC}/a.socket.d/zzz.conf": ""})
    with pytest.raises(SaltInvocationError, match="a drop-in behind zzz.conf would not count"):
        listen_systemd.dual_stack(late, {"units": ["a.socket"]})


def test_only_the_units_of_the_pillar_are_written() -> None:
    files = given(a=SSH, b=MARIADB)
    result = listen_systemd.dual_stack(files, {"units": ["a.socket"]}, 1)
    assert list(result["files"]) == [f"{ETC}/a.socket.d/dualstack.conf"]
    assert result["notes"][0].startswith("b.socket does not serve both families on tcp/3306; add it to `units`, or ")
    with pytest.raises(CommandExecutionError, match="c.socket: there is no such socket unit"):
        listen_systemd.dual_stack(files, {"units": ["c.socket"]})


@pytest.mark.parametrize("units", ["ssh.socket", ["ssh"], ["ssh@.socket"], ["../ssh.socket"], [1], ["a.socket\n"]])
def test_names_that_are_no_units(units: Any) -> None:
    assert len(listen_systemd.errors({"units": units})) == 1
    with pytest.raises(SaltInvocationError, match="^units: "):
        listen_systemd.dual_stack({}, {"units": units})
    assert listen_systemd.errors({"units": ["ssh.socket", "a@b.socket"]}) == []


def test_how_units_are_restarted() -> None:
    files = given(a=SSH, b="[Socket]\nListenStream=1\nAccept=Yes\n", c="[Socket]\nListenStream=2\nService=x.service\n")
    assert listen_systemd.restart(files, {"units": ["a.socket", "b.socket", "c.socket"]}) == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "stop", "a.socket", "b.socket", "c.socket", "a.service", "x.service"],
        ["systemctl", "start", "a.socket", "b.socket", "c.socket"],
    ]
    assert listen_systemd.restart(files, {}) == []
