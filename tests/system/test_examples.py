"""Tests of all examples: upload on the real page, response, and function."""

import hmac
import json
import re
import socket

import httpx
import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from runtime.images.store import Store
from tests.system.conftest import TEAM
from tests.system.support import archives
from tests.system.support.waiting import until

EXAMPLES = (
    *(
        "hello",
        "flask-counter",
        "flask-files",
        "django-todo",
        "fastapi-uv",
        "express-chat",
        "static-site",
        "worker-ticker",
    ),
    *(
        "python-poetry",
        "python-pipenv",
        "python-with-assets",
        "node-pnpm",
        "node-yarn",
        "static-spa",
    ),
    *("go-shortener", "php-guestbook", "ruby-poll", "java-primes"),
)
BUILT_WITHIN = 300  # seconds, at the same time as all the others


def name_of(example: str) -> str:
    """Return the name of our app of an example: `make up` has deployed hello already."""
    return f"ours-{example}"


pytestmark = pytest.mark.timeout(
    1800
)  # the first test waits for the languages, and for all builds and rollouts


@pytest.fixture(scope="module")
def page(chromium, box, admin):
    page = chromium.new_page(base_url=box.url, viewport={"width": 1440, "height": 900})
    page.set_default_navigation_timeout(
        90_000
    )  # milliseconds: builds of the other lane use most of the CPU
    page.goto("/sign-in")
    page.get_by_label("Name", exact=True).fill(admin.username)
    page.get_by_label("Password").fill(admin.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"^(?!.*sign-in)"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def uploaded(page, box, tmp_path_factory) -> dict[str, str]:
    """Create each example's app and upload it on the page; they build at the same time.

    Return the addresses of the build pages by example.
    """
    folder = tmp_path_factory.mktemp("archives")
    found = {}
    for example in EXAMPLES:
        archive = folder / f"{example}.tar.gz"
        archive.write_bytes(archives.example(example))
        page.goto("/new")
        page.get_by_label("Team", exact=True).select_option(TEAM)
        page.get_by_label("Name", exact=True).fill(name_of(example))
        page.get_by_role("button", name="Create without code").click()
        page.wait_for_url(f"**/apps/{name_of(example)}")
        page.locator("input[type=file]").set_input_files(archive)
        page.wait_for_url(f"**/apps/{name_of(example)}/builds/*")
        found[example] = page.url
    return found


@pytest.fixture(scope="module")
def live(uploaded, page, box, admin) -> None:
    """Wait until all examples serve."""
    for example in EXAMPLES:
        name = name_of(example)
        build = until(
            lambda name=name: admin.get(f"/apps/{name}/builds"),
            within=10,
            what=f"{name} has a build",
        )[0]
        over = admin.built(name, build["id"], within=BUILT_WITHIN)
        assert over["state"] == "succeeded", (
            f"{over['reason']}\n{admin.build_log(name, build['id'])}"
        )
        rollout = admin.settled(name, 1, within=90)
        assert rollout["state"] == "live", f"{rollout['reason']}\n{admin.log(name)}"


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_deploys_by_upload_and_its_page_says_live(live, page, example):
    page.goto(f"/apps/{name_of(example)}")
    expect(
        page.locator("main")
        .get_by_text(re.compile(r"v1 is live, \d of \d instances? healthy"))
        .first
    ).to_be_visible()


@pytest.mark.parametrize(
    ("example", "path", "words"),
    [
        ("hello", "/", "Hello from Slipway"),
        ("flask-counter", "/", "Visits to this instance"),
        ("flask-files", "/", "No file yet."),
        ("django-todo", "/", "Nothing to do yet."),
        ("fastapi-uv", "/convert?value=100&source=celsius&target=fahrenheit", '"value":212'),
        ("express-chat", "/", "<title>Chat</title>"),
        ("python-poetry", "/Africa/Nairobi", "World clock"),
        ("python-pipenv", "/all.json", "smooth sea"),
        ("python-with-assets", "/static/tide.js", "/tide.json"),
        ("node-pnpm", "/dice/20", '"sides":20'),
        ("node-yarn", "/ketch/1h", '"euros":80'),
        ("static-site", "/assets/mark.svg", "<svg"),
        ("static-spa", "/knots/bowline", '<main id="view">'),
        ("worker-ticker", "/", "worker"),
        ("go-shortener", "/", "No link yet."),
        ("php-guestbook", "/", "Nobody has signed yet."),
        ("ruby-poll", "/", "Tabs or spaces?"),
        ("java-primes", "/?number=1001", "1001 = 7 × 11 × 13"),
    ],
)
def test_an_example_answers_by_its_host_name(live, box, example, path, words):
    answer = box.ask(name_of(example), path)
    assert answer.status_code == 200
    assert words in answer.text


def test_the_chat_works_over_a_websocket(live, box):
    address = f"ws://{box.host(name_of('express-chat'))}:{box.port}/chat"

    def talk():
        return connect(
            address, sock=socket.create_connection(("127.0.0.1", box.port)), open_timeout=10
        )

    with talk() as first, talk() as second:
        first.send(json.dumps({"name": "ann", "text": "is anybody there?"}))
        heard = until(
            lambda: (found := json.loads(second.recv(timeout=10)))["kind"] == "message" and found,
            within=10,
            what="the other hears",
        )
    assert (heard["name"], heard["text"]) == ("ann", "is anybody there?")


def test_two_people_chat_in_their_browsers(live, box, chromium):
    address = f"http://{box.host(name_of('express-chat'))}:{box.port}/"
    pages = [chromium.new_page() for _ in range(2)]
    for page in pages:
        page.goto(address)
        expect(page.locator("#state")).to_contain_text(re.compile("here"))
    pages[0].get_by_label("Message").fill("seen by both")
    pages[0].get_by_role("button", name="Send").click()
    for page in pages:
        expect(page.locator("#messages")).to_contain_text("seen by both")
        page.close()


def test_the_tickers_worker_logs_each_second(live, admin):
    def ticks() -> list[int]:
        return [
            int(number)
            for number in re.findall(
                r" worker\.\S+ tick (\d+)", admin.log(name_of("worker-ticker"))
            )
        ]

    first = until(ticks, within=10, what="a first tick")
    later = until(
        lambda: (now := ticks())[-1] >= first[-1] + 2 and now, within=10, what="two more ticks"
    )
    assert later == list(range(later[0], later[-1] + 1)), "each tick is logged once, in order"


def test_the_tickers_manifest_is_applied_from_sizes_to_the_schedule(live, box, admin, page):
    """Check what slipway.toml sets.

    These are the formation, a generated secret, health, a post-deploy script, and a job. The job
    runs by hand and by its schedule.
    """
    name = name_of("worker-ticker")
    sizes = {
        row["process"]: (row["count"], row["memory"], row["cpu"])
        for row in admin.get(f"/apps/{name}/formation")
    }
    assert sizes == {"web": (2, 64 * 2**20, 250), "worker": (1, 64 * 2**20, 100)}
    config = admin.get(f"/apps/{name}/config")["config"]
    assert re.fullmatch(r"[0-9a-f]{64}", config["SECRET_KEY"])
    moment, signed = box.ask(name, "/stamp").text.split()
    assert signed == hmac.new(config["SECRET_KEY"].encode(), moment.encode(), "sha256").hexdigest()
    manifest = admin.get(f"/apps/{name}/file")
    assert (manifest["file"], manifest["health"]["check"], manifest["cron"]) == (
        "slipway.toml",
        "GET /healthz",
        ["chime"],
    )

    def run(**wanted: str) -> dict[str, object] | None:
        runs = admin.get(f"/apps/{name}/runs")
        return next((row for row in runs if {key: row[key] for key in wanted} == wanted), None)

    until(
        lambda: run(kind="postdeploy", state="succeeded"),
        within=30,
        what="the post-deploy script ran",
    )
    until(
        lambda: f" postdeploy first deploy of {name} is live" in admin.log(name),
        within=30,
        what="its line is in the log",
    )
    page.goto(f"/apps/{name}")
    page.get_by_role("button", name=re.compile(r"Run now\s*: chime")).click()
    expect(page.get_by_text("chime was started.")).to_be_visible()
    until(
        lambda: run(kind="cron", name="chime", state="succeeded", by=admin.username),
        within=60,
        what="the job ran",
    )
    until(
        lambda: " cron.chime hello from the clock: it is " in admin.log(name),
        within=30,
        what="the job's line is in the log",
    )
    assert "the key has 64 digits" in admin.log(name)
    expect(page.get_by_role("region", name="Jobs").get_by_text("Succeeded").first).to_be_visible()
    page.goto(f"/apps/{name}/settings")
    expect(page.get_by_role("heading", name="From slipway.toml")).to_be_visible()


def test_the_todo_list_takes_a_task_and_says_that_it_is_temporary(live, box, chromium):
    page = chromium.new_page()
    page.goto(f"http://{box.host(name_of('django-todo'))}:{box.port}/")
    page.get_by_label("New task").fill("prove the whole")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("prove the whole", exact=True)).to_be_visible()
    expect(page.get_by_text("gone with it")).to_be_visible()
    page.close()


def test_the_release_phase_ran_before_the_app_got_traffic(live, admin):
    log = admin.log(name_of("django-todo"))
    assert "Applying todo.0001_initial" in log
    assert re.search(r"^\S+ release\S* ", log, re.MULTILINE)


def test_a_build_with_the_same_dependencies_reuses_their_layer(live, admin):
    """Check that another app with the same packages reuses them, as its log says."""
    admin.create_app(TEAM, "second-counter")
    number = admin.deploy(
        "second-counter",
        archives.example(
            "flask-counter", {"templates/counter.html": "<p>another {{ number }}</p>"}
        ),
    )
    assert admin.built("second-counter", number)["state"] == "succeeded"
    assert re.search(r"reus", admin.build_log("second-counter", number), re.IGNORECASE)


def test_a_go_apps_image_holds_only_its_program_and_certificates(live, admin, box):
    (release,) = admin.get(f"/apps/{name_of('go-shortener')}/releases")
    image = Store(box.config).image(release["image"])
    files = {
        str(path.relative_to(layer))
        for layer in image.layers
        for path in layer.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    assert files == {
        "usr/local/bin/shortener",
        "etc/ssl/certs/ca-certificates.crt",
        "etc/passwd",
        "etc/group",
        "app/bin",
    }


def test_a_guest_signs_the_book_of_the_php_app(live, box, chromium):
    page = chromium.new_page()
    page.goto(f"http://{box.host(name_of('php-guestbook'))}:{box.port}/")
    page.get_by_label("Name", exact=True).fill("ann")
    page.get_by_label("Words").fill("<b>was here</b>")
    page.get_by_role("button", name="Sign").click()
    expect(page.get_by_text("ann: <b>was here</b>")).to_be_visible()
    page.close()


def test_the_php_app_serves_its_pages_and_no_other_files(live, box):
    app = name_of("php-guestbook")
    assert [
        box.ask(app, path).status_code
        for path in ("/composer.json", "/.env", "/.git/config", "/vendor/autoload.php")
    ] == [403] * 4
    assert "<title>Guestbook</title>" in box.ask(app, "/no/such/file").text, (
        "the front controller answers"
    )


def test_a_vote_in_the_ruby_app_counts(live, box):
    app = name_of("ruby-poll")
    answer = httpx.post(
        f"{box.url}/", headers={"Host": box.host(app)}, data={"choice": "Spaces"}, timeout=20
    )
    assert answer.status_code == 303
    assert "1 vote" in box.ask(app).text


def test_javas_heap_depends_on_the_memory_of_the_instance(live, box, admin):
    heap = re.search(r"heap may grow to (\d+) MB", box.ask(name_of("java-primes")).text)
    assert heap
    assert 0.6 < int(heap[1]) / 512 < 0.8
