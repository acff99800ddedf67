"""`python -m runtime.router` prints docs/codes.md."""

from runtime.contract.error_codes import manual

if __name__ == "__main__":
    print(manual(), end="")
