"""How the script in the scratch namespace reads packets."""

from __future__ import annotations

import _dualstack_firewall_rehearsal_packets as firewall_rehearsal_packets


def test_a_checksum_is_that_of_the_rfc() -> None:
    assert (
        firewall_rehearsal_packets._checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2
    )  # RFC 1071, section 3
    assert firewall_rehearsal_packets._checksum(b"\xff") == 0x00FF
