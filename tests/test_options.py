from __future__ import annotations

import pytest

from bench.attack import chosen_attacks
from tests.options import read_options
from tests.system.attacks.suite import ATTACKS

DEFAULTS = {"only": "", "minutes": "1"}


def test_an_empty_value_is_the_default() -> None:
    assert read_options(["only=git: a b", "minutes="], DEFAULTS) == {
        "only": "git: a b",
        "minutes": "1",
    }


@pytest.mark.parametrize("word", ["bomb", "--help", "ony=git", ""])
def test_an_unknown_word_is_refused_with_the_known_names(word: str) -> None:
    with pytest.raises(ValueError, match="use only=VALUE, minutes=VALUE"):
        read_options([word], DEFAULTS)


def test_only_chooses_by_a_part_of_the_title_and_refuses_what_chooses_nothing() -> None:
    assert tuple(chosen_attacks("")) == ATTACKS
    titles = [attack.title for attack in chosen_attacks("fork bomb, with a million")]
    assert len(titles) == 2, titles
    with pytest.raises(ValueError, match="'milion'"):
        chosen_attacks("fork bomb,milion")
