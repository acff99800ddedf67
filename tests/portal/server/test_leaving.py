"""Clients of streams that disconnect at any moment: nothing of their requests continues."""

import http.client
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

from tests.portal.conftest import People, listening_portal

READERS = 100
# difference between the durations of two clients: the longest sees the first lines
STEP_SECONDS = 0.0006


def test_a_stream_ends_with_its_client_however_early_it_disconnects(
    committed_people: People,
) -> None:
    committed_people.app()
    client = Client()
    client.force_login(committed_people.owner)
    headers = {
        "Cookie": (
            f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        )
    }
    with listening_portal() as url:
        for number in range(READERS):
            reader = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
            reader.request("GET", "/apps/hello/events", headers=headers)
            time.sleep(number * STEP_SECONDS)
            reader.close()
    # The portal has ended by now, within its ten seconds. It would wait for all open responses.
