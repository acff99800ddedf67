"""What the job runs: a line of its own in the app's log, with what it was given."""

import os
from datetime import UTC, datetime

if __name__ == "__main__":
    key = os.environ.get("SECRET_KEY", "")
    print(f"{os.environ.get('GREETING', 'hello')}: it is {datetime.now(UTC):%H:%M} and the key has {len(key)} digits")
