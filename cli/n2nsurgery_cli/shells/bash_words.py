"""Completion in bash of words with a colon, such as `recipe:smoke`, which bash takes for `recipe`, `:` and `smoke`.

It replaces what follows the last colon only, so that is what it is offered.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout

_ASKED, _WORDS, _CURRENT = "_N2NSURGERY_COMPLETE", "COMP_WORDS", "COMP_CWORD"
_COLON = ":"


@contextmanager
def whole_words(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Inside, bash's question has whole words, and the answer on stdout is cut as bash needs it; else nothing."""
    asked = environment.get(_ASKED) == "complete_bash" and environment.get(_CURRENT, "").isdecimal()
    words = environment.get(_WORDS, "").split() if asked else []
    if _COLON not in words:
        yield
        return
    current = int(environment[_CURRENT])
    whole = joined(words[: current + 1]) if current < len(words) else [*joined(words), ""]
    environment.update({_WORDS: "\n".join(whole), _CURRENT: str(len(whole) - 1)})
    typed, colon, _ = whole[-1].rpartition(_COLON)
    answer = io.StringIO()
    try:
        with redirect_stdout(answer):
            yield
    finally:
        lines = answer.getvalue().splitlines(keepends=True)
        sys.stdout.write("".join(line.removeprefix(typed + colon) for line in lines))


def joined(words: list[str]) -> list[str]:
    """`words` with each colon, and what follows it, as part of the word before it."""
    whole: list[str] = []
    for word in words:
        if whole and (word.startswith(_COLON) or whole[-1].endswith(_COLON)):
            whole[-1] += word
        else:
            whole.append(word)
    return whole
