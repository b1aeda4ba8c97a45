"""
Whether a service is over IPv6 what it is over IPv4: the one judgement of this, for the states, the proof and the
report.

Each question is put in both families, on the addresses by which others come, by the name that they ask for. IPv6 has to
be as good as IPv4, and no better: what fails in both is told, not counted. What could not be asked is not known, which
is never a yes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import _dualstack_families as families
import _dualstack_host_time as host_time
import _dualstack_service_compare as service_compare
import _dualstack_service_probe as service_probe
import _dualstack_service_questions as service_questions
from salt.exceptions import CommandExecutionError

LAST = 2.0  # seconds for all of them at the end of the time
PULSE = 0.1  # seconds by which the pauses between two questions grow
SLOWEST = 2.0  # seconds of the longest one
STEADY = 5.0  # seconds after which what differs in both families is taken to stay so
MANY = 12  # sentences of one comment

Answers = dict[str, list[dict[str, Any]]]  # by family


class Verdict(NamedTuple):
    """
    What the answers to one question say: the ``families`` that answer, what is ``wrong`` over IPv6 (or is missing over
    IPv4), and what is only ``told``, since it is so in both.
    """

    question: service_questions.Question
    answers: Answers
    families: list[str]
    wrong: list[str]
    told: list[str]

    @property
    def same(self) -> bool:
        """Whether each family that was asked answers, and IPv6 as IPv4 does."""
        return not self.wrong and self.families == [family for family, found in self.answers.items() if found]


def judge(asked: Sequence[service_questions.Question], patience: float | None = None) -> list[Verdict]:
    """
    Put questions, and compare the answers.

    asked
        The questions; all are put at the same time.
    patience
        Seconds at most for all answers; by default as the pillar and the protocols say.
    """
    wanted = [service_questions.targets(each) for each in asked]
    said = iter(service_probe.probe_all([target for each in wanted for target in each], patience))
    found = []
    for question, targets in zip(asked, wanted):
        answers: Answers = {family: [] for family in families.FAMILIES}
        for target in targets:
            answers["ipv6" if ":" in target["address"] else "ipv4"].append(next(said))
        found.append(verdict(question, answers))
    return found


def verdict(question: service_questions.Question, answers: Answers) -> Verdict:
    """
    What the answers to one question say.

    question
        The question.
    answers
        By family. Where one family was not asked, its part is empty.

    Each address of IPv6 has to be as good as the best of IPv4.
    """
    good = {family: [each for each in found if each["answers"]] for family, found in answers.items()}
    answering = [family for family, found in answers.items() if found and len(good[family]) == len(found)]
    if good["ipv4"] and "ipv4" not in answering:
        answering.insert(0, "ipv4")  # one address of it is enough
    wrong = []
    told: list[str] = []
    if good["ipv4"]:
        best = min(map(_badness, good["ipv4"]))
        measure = [each for each in good["ipv4"] if _badness(each) == best]
        told += _otherwise(good["ipv4"])
        for six in answers["ipv6"]:
            different = min((service_compare.differences(four, six) for four in measure), key=len)
            where = f" ({six['address']})" if len(answers["ipv6"]) > 1 else ""
            wrong += [f"{words}{where}" for words in different]
            told += service_compare.told(measure[0], six)
    elif good["ipv6"]:
        wrong += [f"does not answer over IPv4: {each['error']}" for each in answers["ipv4"][:1]]
    return Verdict(question, answers, answering, list(dict.fromkeys(wrong)), list(dict.fromkeys(told)))


def _badness(answer: Mapping[str, Any]) -> int:
    """How bad an answer is: by the class of its status, where there is one."""
    status = answer["look"].get("status") or answer["look"].get("code") or 0
    return 0 if status < 400 else status // 100


def _otherwise(good: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which addresses of IPv4 are not like the first: nobody knows which of them is the one to compare with."""
    first, *others = good
    return [
        f"is not the same on {each['address']} and on {first['address']}, over IPv4"
        for each in others
        if service_compare.differences(first, each) or service_compare.differences(each, first)
    ]


def of_service(
    seen: service_questions.View, at: service_questions.At | None = None, patience: float | None = None
) -> list[Verdict]:
    """
    Whether a service is the same in both families.

    seen
        The service.
    at
        As for ``service_questions.questions``.
    patience
        As for :py:func:`judge`.

    Where a port does not know the declared names, it is asked by those that it is configured for.
    """
    found = judge(service_questions.questions(seen, at), patience)
    answering = {each.question.port for each in found if each.families}
    further = service_questions.again(seen, [port for port in seen.ports if port not in answering], at)
    everything = [*found, *judge(further, patience)] if further else found
    return [each._replace(wrong=[*seen.foreign.get(each.question.port, []), *each.wrong]) for each in everything]


def faults(found: Iterable[Verdict]) -> list[str]:
    """
    Why a service is not the same in both families; empty if it is.

    found
        The verdicts on one service.

    A name that a port knows in neither family is no fault, if it knows another one. A port that knows none is one.
    """
    verdicts = list(found)
    known = {each.question.port for each in verdicts if each.families} | alike(verdicts)
    said = []
    for each in verdicts:
        if each.wrong:
            said += [f"{title(each.question)} {words}" for words in each.wrong]
        elif not each.families and each.question.port not in known:
            said.append(f"{title(each.question)} does not answer: {silence(each)}")
    kept = list(dict.fromkeys(said))
    return kept if len(kept) <= MANY else [*kept[:MANY], f"and {len(kept) - MANY} more"]


def alike(found: Iterable[Verdict]) -> set[int]:
    """
    The ports that refuse everybody in the same way, of which more is not known: by an alert of TLS in both families;
    or, if the service is heard elsewhere, by closing the connection, as nginx with ``return 444`` does.

    found
        The verdicts on one service.
    """
    verdicts = list(found)
    heard = {each.question.port for each in verdicts if each.families}
    ways = [{"alert"}, {"closed"}] if heard else [{"alert"}]
    ports: dict[int, bool] = {}
    for each in verdicts:
        reasons = {answer["reason"] for own in each.answers.values() for answer in own}
        refuses = all(each.answers.values()) and reasons in ways and not each.wrong
        ports[each.question.port] = ports.get(each.question.port, True) and refuses
    return {port for port, refuses in ports.items() if refuses}


def remarks(found: Iterable[Verdict]) -> list[str]:
    """
    What is so in both families and no fault of IPv6: an error of the site, an expired certificate, an unknown name.

    found
        The verdicts on one service.
    """
    verdicts = list(found)
    known = {each.question.port for each in verdicts if each.families} | alike(verdicts)
    said = [f"{title(each.question)} {words}" for each in verdicts for words in each.told]
    said += [
        f"{title(each.question)} answers in neither family: {silence(each)}"
        for each in verdicts
        if not each.families and not each.wrong and each.question.port in known
    ]
    bare = sorted({each.question.port for each in verdicts if each.question.protocol == "tcp" and each.families})
    said += [f"tcp/{port}: only a connection was tried, since what is spoken there is not known" for port in bare]
    kept = list(dict.fromkeys(said))
    return kept if len(kept) <= MANY else [*kept[:MANY], f"and {len(kept) - MANY} more"]


def heard(found: Iterable[Verdict]) -> list[str]:
    """
    What was heard on each address; of many names, only of those that are not the same in both families.

    found
        The verdicts on one service.
    """
    verdicts = list(found)
    shown = verdicts if len(verdicts) <= MANY else [each for each in verdicts if not each.same][:MANY]
    lines = [
        f"{title(each.question)} on {answer['address']}: {': '.join(filter(None, (answer['error'], answer['banner'])))}"
        for each in shown
        for own in each.answers.values()
        for answer in own
    ]
    same = sum(each.same for each in verdicts) if len(verdicts) > MANY else 0
    return [*lines, f"{same} of {len(verdicts)} names and ports are the same in both families"] if same else lines


def silence(found: Verdict) -> str:
    """
    Why nobody answers, with the likely reason.

    found
        The verdict.
    """
    silent = [each for own in found.answers.values() for each in own if not each["answers"]]
    said = [f"{each['error']} on {each['address']}" for each in silent]
    likely = dict.fromkeys(words for each in silent if (words := service_compare.likely(each)))
    return "; ".join([*said, *likely])


def title(question: service_questions.Question) -> str:
    """
    What is asked, for the beginning of a sentence: ``tcp/443 (www.example.org)``.

    question
        The question.
    """
    return f"tcp/{question.port}" + (f" ({question.name})" if question.name else "")


def answered(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """
    The targets that have answered, for :py:func:`wait_for`.

    found
        The verdicts.
    """
    return [
        target
        for each in found
        for target, answer in zip(
            service_questions.targets(each.question), [one for own in each.answers.values() for one in own]
        )
        if answer["answers"]
    ]


def wait(seen: Callable[[], service_questions.View], timeout: float) -> None:
    """
    Wait until a service is the same in both families.

    seen
        Looks at the service anew.
    timeout
        Seconds.

    Raises ``CommandExecutionError`` with what is wrong. What answers in both families, and stays different, is not
    waited for any longer.
    """

    def look(patience: float) -> tuple[str, bool]:
        found = of_service(seen(), patience=patience)
        said = faults(found)
        return "; ".join(said), said == faults(each for each in found if len(each.families) == len(families.FAMILIES))

    _until(look, timeout)


def wait_for(targets: list[dict[str, Any]], timeout: float) -> None:
    """
    Wait until all targets answer, whatever they say.

    targets
        As ``service_probe.probe_all`` takes them.
    timeout
        Seconds.

    Raises ``CommandExecutionError`` with the errors.
    """

    def look(patience: float) -> tuple[str, bool]:
        answers = service_probe.probe_all(targets, patience)
        silent = [each for each in answers if not each["answers"]]
        return "; ".join(f"tcp/{each['port']} on {each['address']}: {each['error']}" for each in silent), False

    _until(look, timeout)


def _until(look: Callable[[float], tuple[str, bool]], timeout: float) -> None:
    """Ask, less and less often, until nothing is said to be wrong, or what is said does not change any more."""
    timeout = host_time.left(timeout)
    begin = time.monotonic()
    steady = pulse = 0.0
    while True:
        said, settled = look(max(begin + timeout - time.monotonic(), LAST))
        if not said:
            return
        now = time.monotonic()
        steady = steady or now if settled else 0.0
        if now > begin + timeout or (steady and now > steady + STEADY):
            raise CommandExecutionError(
                f"it did not answer as it should within {min(now - begin, timeout):.3g} s: {said}"
            )
        pulse = min(pulse + PULSE, SLOWEST)
        time.sleep(pulse)
