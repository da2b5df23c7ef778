"""Answers: the four questions that a reader has, each with a sentence from the findings of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from n2nsurgery.connectivity.report.findings import Finding, verdict

SOUND = {
    "cut": "No. Nothing can be learned.",
    "partly cut": "No. A part of its outputs stays constant.",
    "badly connected": "No. It can be trained, but a large part of it is lost.",
    "weakly connected": "Not quite. It can be trained, but a part of it is lost or hard to reach.",
    "moderately connected": "Yes. It could be connected better.",
    "well connected": "Yes.",
}
ASKING = {"severe", "warning"}
SKIPS = "Skips"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question, the answer in a sentence or two, and a command, "" where there is none to give."""

    question: str
    answer: str
    command: str = ""


def answers(found: Iterable[Finding]) -> tuple[Answer, ...]:
    """Whether the network is sound, where it is not, whether its skips help, and what to do."""
    found = tuple(found)
    asking = [each for each in found if each.severity in ASKING]
    skips = next((each.sentence for each in found if each.topic == SKIPS), "It has no skips.")
    remedies = [each for each in found if each.remedy and (each in asking or (each.severity != "good" and each.clause))]
    first = next((each for each in remedies if each.command), next(iter(remedies), None))
    to_do = ("Nothing has to be done.", "") if first is None else (first.remedy, first.command)
    return (
        Answer(question="Is it sound?", answer=SOUND[verdict(found)]),
        Answer(question="Where is it weak?", answer=asking[0].sentence if asking else "Nothing asks for attention."),
        Answer(question="Do the skips help?", answer=skips),
        Answer(question="What to do?", answer=to_do[0], command=to_do[1]),
    )
