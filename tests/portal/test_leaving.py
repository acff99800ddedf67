"""Readers of streams who leave: at any moment, and nothing of theirs goes on."""

import http.client
import time
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

from tests.portal.conftest import Crew, listening_portal

READERS = 100
STEP_SECONDS = 0.0006  # between the stays of two readers: the longest sees the first lines


def test_a_stream_ends_with_its_reader_however_early_they_leave(committed_crew: Crew) -> None:
    committed_crew.app()
    client = Client()
    client.force_login(committed_crew.owner)
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"}
    with listening_portal() as url:
        for number in range(READERS):
            reader = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
            reader.request("GET", "/apps/hello/events", headers=headers)
            time.sleep(number * STEP_SECONDS)
            reader.close()
    # The portal has ended by now, in its ten seconds: it waits for all that it still serves.
