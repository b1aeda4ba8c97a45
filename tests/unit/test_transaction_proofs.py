"""Which connections that fail at the end of a run count as lost."""

from __future__ import annotations

import _dualstack_host_management as host_management
import _dualstack_host_management_proof as host_management_proof
import _dualstack_transaction_proofs as transaction_proofs
import pytest

MASTER = {
    (address, port): host_management.Connection("ipv4", "out", address, port, f"the Salt master {address}")
    for address in ("192.0.2.1", "192.0.2.2")
    for port in (4505, 4506)
}
CLIENT = host_management.Connection("ipv4", "in", "192.0.2.9", 22, "the ssh client 192.0.2.9")


@pytest.fixture(autouse=True)
def _rules_let_all_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_proofs, "_let_in", lambda managed: [])


@pytest.mark.parametrize(
    ("lost", "local", "expected"),
    [
        ([], False, {True}),
        ([("192.0.2.1", 4505)], False, {True, None}),  # the other master answers
        ([("192.0.2.1", 4505), ("192.0.2.2", 4506)], False, {True, False}),  # of each, a port is shut
        (list(MASTER), False, {True, False}),
        (list(MASTER), True, {True, None}),  # the master need not have answered a masterless run before
    ],
)
def test_masters(
    monkeypatch: pytest.MonkeyPatch, lost: list[tuple[str, int]], local: bool, expected: set[bool | None]
) -> None:
    found = [host_management_proof.Proof(each, key not in lost, "said") for key, each in MASTER.items()]
    found.append(host_management_proof.Proof(CLIENT, True, "said"))
    monkeypatch.setattr(host_management_proof, "judge", lambda opts: found)
    opts = {"file_client": "local" if local else "remote"}
    assert {each.holds for each in transaction_proofs.found(opts)} == expected


def test_sshd_that_is_gone_is_never_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [host_management_proof.Proof(CLIENT, False, "said")]
    monkeypatch.setattr(host_management_proof, "judge", lambda opts: found)
    assert [each.holds for each in transaction_proofs.found({"file_client": "local"})] == [False]
