"""What is shown of a service's configuration: by a command that only looks, and in the changes of a state."""

from __future__ import annotations

import _dualstack_service_change as service_change

HAPROXY = """\
listen stats
    bind 0.0.0.0:1936
    stats auth admin:s3cret
    http-request set-header Authorization "Bearer s3cret"
"""


def test_a_diff_has_nothing_but_what_changes() -> None:
    wanted = HAPROXY.replace("0.0.0.0:1936", "0.0.0.0:1936,:::1936 v6only")
    assert service_change._diff("/etc/x", HAPROXY, wanted).splitlines()[2:] == [
        "@@ -2 +2 @@",
        "-    bind 0.0.0.0:1936",
        "+    bind 0.0.0.0:1936,:::1936 v6only",
    ]


def test_a_secret_in_a_line_that_changes_is_masked() -> None:
    for line in ("set $token s3cret;", 'password: "s3cret",', "{api_key, 's3cret'}", "Secret=s3cret"):
        assert "s3cret" not in service_change._diff("/etc/x", f"listen 80; {line}\n", f"listen [::]:80; {line}\n")
