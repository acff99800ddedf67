"""The runtime's one tree of errors.

    RuntimeFailure                what failed, on what, and the remedy
    ├── HostLacks                 a kernel feature, program or right is missing
    ├── ProcessFailed             a program we started did not succeed
    ├── HelperFailed              a confined helper ended, or answered what it must not
    ├── LimitReached              work on a tenant's bytes needed more memory or time than it may have
    ├── KernelRefused             a syscall was refused
    ├── BadArchive                a source that cannot be unpacked safely
    ├── BadSource                 nothing to build was found, or it contradicts itself
    ├── BuildFailed               a build step did not succeed
    │   ├── Cancelled             nobody wants it any more
    │   └── CacheTooLarge         a step wrote more into its package cache than that may hold
    ├── BadStack                  a stack file that cannot be read or followed
    ├── ImageDamaged              bytes of the store do not match their digest
    ├── NoSuchImage               no image of the store has that name or digest
    ├── TransferFailed            an image could not be had from, or given to, a registry or archive
    │   ├── Unreachable           the registry did not answer, or not in time, or not now
    │   └── NotAllowed            the operator lets builds take nothing from there
    ├── LaunchFailed              an instance could not be created or started
    ├── NetworkRefused            an address, link or rule could not be set
    ├── RouterRefused             the router did not take a change
    └── CertificateRefused        a certificate does not hold together, or its authority did not give it

Each is raised with a full sentence; `hint` is the remedy, shown on its own line.
"""


class RuntimeFailure(Exception):
    """Root of the tree: `str()` names what failed and on what, `hint` tells the remedy."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        self.what, self.hint = _sayable(what), _sayable(hint)
        super().__init__(self.what)

    def explain(self) -> str:
        """One text for logs and the portal: the sentence, then the remedy."""
        return f"{self.what} {self.hint}".strip()


class HostLacks(RuntimeFailure):
    """The machine has no such feature, program or right."""


class ProcessFailed(RuntimeFailure):
    """A program we started exited with an error, or ran out of time."""


class HelperFailed(RuntimeFailure):
    """A confined helper has a fault, was killed from outside, or was broken into."""


class LimitReached(RuntimeFailure):
    """Work on a tenant's bytes reached its limit of memory, processor or time."""


class KernelRefused(RuntimeFailure):
    """A syscall returned an error; `errno` is the kernel's."""

    def __init__(self, what: str, *, errno: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.errno = errno


class BadArchive(RuntimeFailure):
    """An archive that is damaged, hostile or of a kind we do not take."""


class BadSource(RuntimeFailure):
    """The source unpacked, but there is nothing in it we know how to build."""


class BuildFailed(RuntimeFailure):
    """A build step failed; its own words are in the build log."""


class Cancelled(BuildFailed):
    """Whoever asked for it, or something newer, ended it."""


class CacheTooLarge(BuildFailed):
    """A step wrote more into its package cache than that may hold; without the cache it may well succeed."""


class BadStack(RuntimeFailure):
    """A stack file says what cannot be; it names the file and the key."""


class ImageDamaged(RuntimeFailure):
    """Bytes in the store do not match the digest they are stored under."""


class NoSuchImage(RuntimeFailure):
    """No image goes by that name, or more than one; or a name that may not be given."""


class TransferFailed(RuntimeFailure):
    """A registry or an archive did not give an image, or did not take one."""


class Unreachable(TransferFailed):
    """The other side did not answer, or said that it cannot now: another time may be better."""


class NotAllowed(TransferFailed):
    """The node's settings leave this registry out."""


class LaunchFailed(RuntimeFailure):
    """An instance could not be created or started."""


class NetworkRefused(RuntimeFailure):
    """An address, link or firewall rule could not be set."""


class RouterRefused(RuntimeFailure):
    """The router did not take a change, or its live state contradicts its files."""


class CertificateRefused(RuntimeFailure):
    """A certificate that cannot be served, or an authority that gave none; `retry_after` is seconds, 0 where it said nothing."""

    def __init__(self, what: str, *, hint: str = "", retry_after: float = 0) -> None:
        super().__init__(what, hint=hint)
        self.retry_after = retry_after


_LONGEST = 16_384  # characters; what is wrong may quote a file of megabytes, and goes into rows and pages


def _sayable(text: str) -> str:
    """Names of files may be any bytes, which Python carries as lone surrogates (PEP 383); neither a database nor a page takes those."""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return text.encode(errors="backslashreplace").decode()
