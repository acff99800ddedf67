"""The cron job's program: it prints a line to the app's log, with its config vars."""

import os
from datetime import UTC, datetime

if __name__ == "__main__":
    key = os.environ.get("SECRET_KEY", "")
    print(
        f"{os.environ.get('GREETING', 'hello')}: it is {datetime.now(UTC):%H:%M} and the key has"
        f" {len(key)} digits"
    )
