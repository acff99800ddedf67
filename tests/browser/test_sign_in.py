"""Sign-in after many failures: the browser computes its proof automatically."""

from collections.abc import Callable

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import BrowserContext, expect

from portal.accounts import attempts
from portal.accounts.models import Person
from tests.portal.pages.fleet import PASSWORD

# the listening portal supports no other hasher
HASHED = PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1000)


def test_a_browser_signs_in_after_many_failures_with_its_name_and_from_its_address(
    browse: Callable[..., BrowserContext],
) -> None:
    Person.objects.filter(username="member").update(password=HASHED)
    for number in range(40):
        attempts.begin("member" if number < 12 else f"person-{number}", "127.0.0.1", paid=22)
    page = browse("").new_page()
    page.goto("/sign-in")
    expect(page.get_by_text("Your browser is ready to sign in.")).to_be_visible(timeout=60_000)
    page.get_by_label("Name").fill("member")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    # the name needs a larger proof than the address did
    expect(page.get_by_text("Enter your password again")).to_be_visible(timeout=60_000)
    page.get_by_label("Password").fill(PASSWORD)
    # immediately: the form waits for its proof and is then sent
    page.get_by_role("button", name="Sign in").click()
    expect(page).not_to_have_url("/sign-in", timeout=60_000)
    expect(page.get_by_role("link", name="shop", exact=True).first).to_be_visible()
