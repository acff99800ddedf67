"""Print docs/codes.md, the documentation of the error codes: `python -m runtime.router`."""

from runtime.contract.code_manual import manual

if __name__ == "__main__":
    print(manual(), end="")
