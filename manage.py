#!/usr/bin/env python3
"""Django's command line for this project, with the settings of .env; `./manage.py help` lists the
node's own commands too.
"""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

from runtime.config import process_environment

if __name__ == "__main__":
    os.environ.update(process_environment(Path(__file__).resolve().parent / ".env"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    execute_from_command_line(sys.argv)
