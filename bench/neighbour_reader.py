"""A reader of a container's output, like the supervisor and the build worker.

Run it with `python -m bench.neighbour_reader LOG NICENESS`.
"""

import os
import sys
import time
from pathlib import Path

from runtime.containers.logs import ConsoleReader
from runtime.logs import logfile

if __name__ == "__main__":
    os.nice(int(sys.argv[2]))
    reader = ConsoleReader(Path(sys.argv[1]))
    with Path(sys.argv[1]).with_name("bench.log").open("w") as carried:
        while True:
            for line in reader.lines():
                carried.write(logfile.line(line.at, "web", line.stream, line.text))
            carried.flush()
            time.sleep(0.05)
