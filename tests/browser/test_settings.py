"""Settings in a browser: unsaved changes, the search of variables, the menu of a phone."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect

Browse = Callable[..., BrowserContext]


def test_a_form_shows_that_its_changes_are_not_saved(browse: Browse) -> None:
    page = browse().new_page()
    page.goto("/apps/shop/settings/limits")
    form = page.locator(".settings-body form.card")
    field = form.get_by_label("Requests per second", exact=True)
    field.fill("7")
    expect(form).to_have_attribute("data-unsaved", "")
    field.fill("")
    expect(form).not_to_have_attribute("data-unsaved", "")
    field.fill("7")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The change applies to every new request.")).to_be_visible()
    assert page.url.endswith("/settings/limits#limits")
    expect(page.get_by_label("Requests per second", exact=True)).to_have_value("7")


def test_variables_are_filtered_while_a_person_types(browse: Browse) -> None:
    page = browse().new_page()
    page.goto("/apps/shop/settings/variables")
    rows = page.locator("#variables > .var-row")
    expect(rows).to_have_count(4)
    page.get_by_label("Part of the variable's name").fill("secret")
    expect(rows).to_have_count(1)


def test_an_import_works_without_scripts(browse: Browse) -> None:
    page = browse(scripts=False).new_page()
    page.goto("/apps/shop/settings/variables")
    page.get_by_text("Import a .env file").click()
    page.get_by_label("Lines of a .env file").fill("COLOUR=blue")
    page.get_by_role("button", name="Compare with the current values").click()
    expect(page.get_by_role("listitem").filter(has_text="COLOUR")).to_contain_text("New")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("1 config vars are set.")).to_be_visible()


def test_a_phone_has_the_sections_in_a_menu_without_scripts(browse: Browse) -> None:
    page = browse(width=390, scripts=False).new_page()
    page.goto("/apps/shop/settings")
    page.locator(".settings-menu-narrow > summary").click()
    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Domains").click()
    page.wait_for_url("**/settings/domains")
    expect(page.get_by_role("heading", name="Domains", exact=True)).to_be_visible()
