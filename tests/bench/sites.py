"""
What it costs to judge the sites of a real nginx in both families, beside asking each of them once, plainly.

Prints a table: the number of sites, seconds for the plain questions one after the other (``http.client``), those for
the judgement, which compares pages in both families, and the ratio; medians of 5, in one run.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..services import daemons

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_modules"))

import _dualstack_service_judgement as service_judgement  # noqa: E402
import _dualstack_service_place as service_place  # noqa: E402
import _dualstack_service_questions as service_questions  # noqa: E402

PLACE = service_place.ITSELF
SITE = """server {{ listen 80; listen [::]:80; server_name w{0}.example.org;
    location / {{ return 200 "<title>Site {0}</title> $request_id {1}"; }} }}
"""


def sites(number: int) -> list[str]:
    """So many sites, served by nginx, each with a page of 4 kB."""
    page = " ".join(f"word{each}" for each in range(500))
    text = "server_names_hash_max_size 8192; server_names_hash_bucket_size 128;\n"
    text += "".join(SITE.format(each, page) for each in range(number))
    Path("/etc/nginx/sites-enabled/many").write_text(text)
    daemons.run("service", "nginx", "restart")
    daemons.wait_for(80)
    return [f"w{each}.example.org" for each in range(number)]


def plainly(names: list[str]) -> None:
    """Ask for each name in both families."""
    for name in names:
        for address in PLACE:
            connection = http.client.HTTPConnection(address, 80)
            connection.request("GET", "/", headers={"Host": name})
            assert connection.getresponse().read()
            connection.close()


def judged(names: list[str]) -> None:
    """The judgement of all names."""
    addresses = {"ipv4": PLACE[:1], "ipv6": PLACE[1:]}
    asked: Any = [service_questions.Question(80, "http", name, addresses, {}) for name in names]
    found = service_judgement.judge(asked)
    assert all(each.same for each in found), service_judgement.faults(found)


def seconds(call: Callable[[list[str]], None], names: list[str]) -> float:
    """The median of 5 calls."""
    taken = []
    for _ in range(5):
        begin = time.perf_counter()
        call(names)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def main() -> None:
    """Print the table."""
    print("| sites | asked plainly, s | judged, s | ratio |\n|---|---|---|---|")
    for number in [int(each) for each in sys.argv[1:]] or [25, 200]:
        names = sites(number)
        plain, full = seconds(plainly, names), seconds(judged, names)
        print(f"| {number} | {plain:.3f} | {full:.3f} | {full / plain:.1f} |", flush=True)
    daemons.stop("nginx", 80)


if __name__ == "__main__":
    main()
