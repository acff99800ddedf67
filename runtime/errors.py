"""All errors of the runtime, as one tree.

    RuntimeFailure                names what failed, on what, and the remedy
    ├── HostLacks                 a kernel feature, program or privilege is missing
    ├── ProcessFailed             a program that we started did not succeed
    ├── HelperFailed              a confined helper ended, or sent an invalid answer
    ├── LimitReached              work on a tenant's data needed more memory or time than allowed
    ├── KernelRefused             a syscall was refused
    ├── BadArchive                a source that cannot be unpacked safely
    ├── BadSource                 a source with nothing to build, or with contradictory files
    ├── BuildFailed               a build step did not succeed
    │   ├── Cancelled             the build was cancelled
    │   ├── StepFailed            a command of a step ended with an error
    │   └── CacheTooLarge         a step wrote more into its package cache than allowed
    ├── BadStack                  a stack file that is not valid
    ├── ImageDamaged              bytes in the store do not match their digest
    ├── NoSuchImage               the store has no image with that name or digest
    ├── TransferFailed            an image could not be pulled, pushed, read or written
    │   ├── Unreachable           the registry did not answer in time, or is not available now
    │   └── NotAllowed            the operator does not allow this registry
    ├── LaunchFailed              an instance could not be created or started
    ├── VolumeFailed              a volume could not be created, mounted, changed or copied
    │   └── VolumeMissing         the node does not have the volume's data
    ├── NetworkRefused            an address, link or rule could not be set
    ├── RouterRefused             the router rejected a change
    └── CertificateRefused        a certificate is not valid, or its authority did not issue it

Each error has a full sentence; `hint` is the remedy, shown on its own line.
"""


class RuntimeFailure(Exception):
    """Root of the tree: `str()` names what failed and on what; `hint` is the remedy."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        self.what, self.hint = _printable(what), _printable(hint)
        super().__init__(self.what)

    def explain(self) -> str:
        """Return one text for logs and the portal: the sentence, then the remedy."""
        return f"{self.what} {self.hint}".strip()


class HostLacks(RuntimeFailure):
    """The machine lacks a feature, program or privilege."""


class ProcessFailed(RuntimeFailure):
    """A program that we started exited with an error, or reached its timeout."""


class HelperFailed(RuntimeFailure):
    """A confined helper has a bug, was killed from outside, or was compromised."""


class LimitReached(RuntimeFailure):
    """Work on a tenant's data reached its limit of memory, processor or time."""


class KernelRefused(RuntimeFailure):
    """A syscall returned an error; `errno` is the kernel's."""

    def __init__(self, what: str, *, errno: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.errno = errno


class BadArchive(RuntimeFailure):
    """An archive that is damaged, malicious or of an unsupported type."""


class BadSource(RuntimeFailure):
    """A source that was unpacked, but contains nothing that the platform can build."""


class BuildFailed(RuntimeFailure):
    """A build step failed; its output is in the build log."""


class StepFailed(BuildFailed):
    """A command of a build step ended with an error. `output` is the end of what it printed."""

    def __init__(self, what: str, *, hint: str = "", output: tuple[str, ...] = ()) -> None:
        super().__init__(what, hint=hint)
        self.output = output

    @property
    def last_line(self) -> str:
        """Return the last line of the output, which mostly has the reason."""
        return self.output[-1].strip() if self.output else self.what


class Cancelled(BuildFailed):
    """A user, or a newer build, cancelled the work."""


class CacheTooLarge(BuildFailed):
    """A step wrote more into its package cache than allowed. Without the cache it may succeed."""


class BadStack(RuntimeFailure):
    """A stack file is not valid. The message names the file and the key."""


class ImageDamaged(RuntimeFailure):
    """Bytes in the store do not match the digest they are stored under."""


class NoSuchImage(RuntimeFailure):
    """No image, or more than one, has that name; or the name is not allowed."""


class TransferFailed(RuntimeFailure):
    """An image could not be read from or written to a registry or an archive."""


class Unreachable(TransferFailed):
    """The registry did not answer, or is not available now. A later attempt may succeed."""


class NotAllowed(TransferFailed):
    """The node's settings do not allow this registry."""


class LaunchFailed(RuntimeFailure):
    """An instance could not be created or started."""


class VolumeFailed(RuntimeFailure):
    """A volume could not be created, mounted, changed or copied."""


class VolumeMissing(VolumeFailed):
    """The node does not have a volume's data. It is never replaced by an empty volume."""


class NetworkRefused(RuntimeFailure):
    """An address, link or firewall rule could not be set."""


class RouterRefused(RuntimeFailure):
    """The router rejected a change, or its live state contradicts its files."""


class CertificateRefused(RuntimeFailure):
    """A certificate cannot be served, or its authority did not issue it.

    `retry_after` is in seconds, or 0 if the authority did not name a time.
    """

    def __init__(self, what: str, *, hint: str = "", retry_after: float = 0) -> None:
        super().__init__(what, hint=hint)
        self.retry_after = retry_after


# Characters. A message may quote a file of megabytes, and goes into database rows and pages.
_LONGEST = 16_384


def _printable(text: str) -> str:
    """Shorten a text, and escape lone surrogates in it.

    File names may contain any bytes, which Python represents as lone surrogates (PEP 383).
    Databases and pages do not accept those.
    """
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return text.encode(errors="backslashreplace").decode()
