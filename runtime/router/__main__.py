"""`python -m runtime.router` prints docs/codes.md, `python -m runtime.router json` platform/portal/requests/codes.json."""

import sys

from runtime.contract.error_codes import as_json, manual

if __name__ == "__main__":
    print(as_json() if sys.argv[1:] == ["json"] else manual(), end="")
