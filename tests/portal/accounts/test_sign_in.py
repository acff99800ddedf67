"""Guessing passwords becomes more and more expensive, and nobody is locked out: neither the owner
of the name nor people with the same address."""

import hashlib
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth import hashers
from django.core import signing
from django.test import Client
from pytest_django import Settings

from portal.accounts import attempts, proof
from portal.accounts.attempts import OF_A_NAME, OF_AN_ADDRESS, OF_BOTH, Price
from portal.accounts.hashing import QueuedHasher
from portal.accounts.proof import Ticket
from portal.errors import TooManyRequests
from tests.portal.conftest import PASSWORD, People

ROOT = Path(__file__).resolve().parents[3]
HERE, THERE = "192.0.2.7", "192.0.2.8"


def solved(nonce: str, zeros: int) -> str:
    """Compute the proof like a browser."""
    numbers = []
    for part in range(8):
        number = 0
        while int.from_bytes(
            hashlib.sha256(f"{nonce}:{part}:{number}".encode()).digest(), "big"
        ) >> (256 - zeros):
            number += 1
        numbers.append(str(number))
    return ",".join(numbers)


class Visitor:
    """A browser without scripts, at an address."""

    def __init__(self, address: str = HERE) -> None:
        self.client = Client(REMOTE_ADDR=address)
        self.page = self.client.get("/sign-in").content.decode()

    @property
    def ticket(self) -> dict[str, str]:
        """Return the fields of the form, empty if an attempt costs nothing."""
        found = dict(re.findall(r'(data-nonce|data-zeros)="([^"]+)"', self.page))
        text = re.search(r'name="ticket" value="([^"]+)"', self.page)
        return {**found, "ticket": text[1]} if text else {}

    def sign_in(self, password: str = PASSWORD, *, name: str = "owner", **fields: str) -> str:
        answer = self.client.post("/sign-in", {"username": name, "password": password, **fields})
        self.page = answer.content.decode()
        return (
            "in"
            if answer.status_code == 302
            else "costs"
            if "Enter your password again" in self.page
            else "wrong"
        )

    def pay(self) -> dict[str, str]:
        ticket = self.ticket
        return {
            "ticket": ticket["ticket"],
            "proof": solved(ticket["data-nonce"], int(ticket["data-zeros"])),
        }


@pytest.fixture(autouse=True)
def low_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use lower costs."""
    for name, price in (
        ("OF_A_NAME", OF_A_NAME),
        ("OF_AN_ADDRESS", OF_AN_ADDRESS),
        ("OF_BOTH", OF_BOTH),
    ):
        monkeypatch.setattr(attempts, name, replace(price, bits=8, most=10))


def guess(count: int, *, name: str = "owner", address: str = HERE) -> list[str]:
    return [Visitor(address).sign_in(f"guess {number}", name=name) for number in range(count)]


def test_the_eleventh_guess_of_a_name_needs_a_proof_of_work_from_any_address(
    people: People,
) -> None:
    assert guess(5) + guess(5, address=THERE) == ["wrong"] * 10
    assert Visitor("192.0.2.9").sign_in("guess") == "costs"
    assert Visitor("192.0.2.9").sign_in("guess", name="OWNER ") == "costs"


def test_people_with_the_address_of_a_guesser_sign_in_immediately(people: People) -> None:
    guess(12)
    assert Visitor().sign_in(name="stranger") == "in"


def test_people_with_an_address_with_many_failures_sign_in_after_a_proof(people: People) -> None:
    for number in range(30):
        assert Visitor().sign_in("guess", name=f"person-{number}") == "wrong"
    visitor = Visitor()
    assert visitor.ticket, "the form says so before the first attempt"
    assert visitor.sign_in(name="stranger", **visitor.pay()) == "in"


def test_the_owner_of_a_guessed_name_signs_in_after_a_proof(people: People) -> None:
    guess(10)
    owner = Visitor(THERE)
    assert owner.sign_in() == "costs"
    assert owner.sign_in(**owner.pay()) == "in"


def test_a_right_password_is_not_checked_without_the_proof(people: People) -> None:
    guess(10)
    assert Visitor().sign_in(PASSWORD) == Visitor().sign_in("guess") == "costs"


def test_a_proof_is_valid_once_and_for_its_own_address(people: People) -> None:
    guess(10)
    visitor = Visitor()
    visitor.sign_in()
    paid = visitor.pay()
    assert Visitor(THERE).sign_in(**paid) == "costs"
    assert visitor.sign_in("guess", **paid) == "wrong"
    assert visitor.sign_in(PASSWORD, **paid) == "costs"


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "0,0,0,0,0,0,0,0",
        "1,2,3",
        ",,,,,,,",
        "-1,-1,-1,-1,-1,-1,-1,-1",
        "٣,٣,٣,٣,٣,٣,٣,٣",
        "9" * 150,
    ],
)
def test_another_text_is_not_a_valid_proof(people: People, forged: str) -> None:
    guess(10)
    visitor = Visitor()
    visitor.sign_in()
    ticket = visitor.ticket["ticket"]
    assert visitor.sign_in(ticket=ticket, proof=forged) == "costs"


def test_a_forged_or_old_ticket_is_not_valid(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    easy = Ticket.make(22, HERE)
    assert Ticket.read(easy.text, HERE) == easy
    assert Ticket.read(signing.dumps([easy.nonce, 22, HERE, 0.0], salt="another"), HERE) is None
    assert Ticket.read(easy.text[:-1], HERE) is None
    assert Ticket.read(easy.text, THERE) is None
    monkeypatch.setattr(proof, "LIFE_SECONDS", -1)
    assert Ticket.read(easy.text, HERE) is None


def test_an_easier_ticket_does_not_pay_for_an_attempt_that_costs_more(people: People) -> None:
    guess(10)
    visitor = Visitor()
    visitor.sign_in()
    paid = visitor.pay()
    for _ in range(10):
        other = Visitor(THERE)
        other.sign_in("guess")
        other.sign_in("guess", **other.pay())
    assert visitor.sign_in(**paid) == "costs"


def test_a_browser_without_scripts_waits_and_a_guesser_gains_only_one_attempt(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess(10)
    visitors = [Visitor() for _ in range(3)]
    for visitor in visitors:
        assert visitor.sign_in() == "costs"
        assert visitor.sign_in(ticket=visitor.ticket["ticket"]) == "costs", "not yet"
    monkeypatch.setattr(proof, "WAIT_SECONDS", 0)
    assert [visitor.sign_in("guess", ticket=visitor.ticket["ticket"]) for visitor in visitors] == [
        "wrong",
        "costs",
        "costs",
    ]
    elsewhere = Visitor(THERE)
    elsewhere.sign_in()
    assert elsewhere.sign_in(ticket=elsewhere.ticket["ticket"]) == "in", (
        "the guesser has not used up the owner's turn"
    )


def test_a_sign_in_removes_the_persons_failures(people: People) -> None:
    for _ in range(4):
        assert guess(9) == ["wrong"] * 9
        assert Visitor().sign_in() == "in"


def test_a_sign_in_to_the_own_account_removes_no_failures_of_others(people: People) -> None:
    guess(10)
    assert Visitor().sign_in(name="stranger") == "in"
    assert Visitor().sign_in("guess") == "costs"


def test_attempts_without_proof_do_not_raise_the_cost(people: People) -> None:
    guess(10)
    for _ in range(50):
        Visitor().sign_in("guess")
    assert attempts.price_of("owner", HERE) == 8


def test_a_hundred_simultaneous_guesses_count_as_a_hundred(committed_people: People) -> None:
    with ThreadPoolExecutor(16) as pool:
        passed = sum(pool.map(lambda _: attempts.begin("owner", HERE, paid=0), range(100)))
    assert passed == 10


@pytest.mark.parametrize(
    ("failures", "bits"), [(0, 0), (9, 0), (10, 17), (19, 17), (20, 18), (40, 19), (10**9, 20)]
)
def test_the_cost_doubles_with_the_failures_up_to_a_maximum(failures: int, bits: int) -> None:
    assert Price(free=10, bits=17, most=20).after(failures) == bits


def test_the_highest_cost_is_seconds_of_a_browser() -> None:
    assert max(OF_A_NAME.most, OF_AN_ADDRESS.most) <= 20
    assert OF_BOTH.most <= 22


def test_the_browsers_script_solves_what_we_check() -> None:
    node = shutil.which("node") or str(ROOT / ".venv/bin/node")
    script = f"""
        import {{ prove }} from "{ROOT}/platform/portal/static/src/js/proof.js";
        const begun = performance.now();
        const proof = await prove("{"ab" * 16}", 12);
        console.log(proof, performance.now() - begun);
    """
    result = subprocess.run(
        (node, "--input-type=module", "-e", script),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    assert Ticket(nonce="ab" * 16, bits=15, address=HERE, made=0).is_proved_by(result[0])
    assert result[0] == solved("ab" * 16, 12)


def test_a_known_name_takes_as_long_as_an_unknown_one(people: People, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["portal.accounts.hashing.QueuedHasher"]
    hashers.get_hashers.cache_clear()
    hashers.get_hashers_by_algorithm.cache_clear()
    try:
        people.owner.set_password(PASSWORD)
        people.owner.save()
        took: dict[str, list[float]] = {"owner": [], "nobody": []}
        for number in range(6):
            for name, times in took.items():
                begun = time.thread_time() + time.process_time()
                assert Visitor(f"192.0.2.{number}").sign_in("guess", name=name) == "wrong"
                times.append(time.thread_time() + time.process_time() - begun)
        exists, unknown = (statistics.median(times) for times in took.values())
        assert exists == pytest.approx(unknown, rel=0.35)
    finally:
        hashers.get_hashers.cache_clear()
        hashers.get_hashers_by_algorithm.cache_clear()


def test_passwords_are_hashed_one_at_a_time_with_low_priority_and_too_many_are_refused() -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def digest() -> "hashlib._Hash":
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) > os.getpriority(
            os.PRIO_PROCESS, os.getpid()
        )
        with lock:
            at_once -= 1
        return hashlib.sha256()

    class Slow(QueuedHasher):
        iterations = 1000

    Slow.digest = staticmethod(digest)

    def hash_one(_: int) -> bool:
        try:
            Slow().encode("a password", "salt")
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(60) as pool:
        done = sum(pool.map(hash_one, range(60)))
    assert most == 1
    assert 24 <= done < 60
