"""Run nft commands in this process with libnftables, through ctypes."""

from __future__ import annotations

import ctypes
import threading

from runtime.errors import HostLacks

_turn = threading.Lock()  # libnftables is not documented as thread-safe
JSON_OUTPUT = 1 << 4  # NFT_CTX_OUTPUT_JSON


def run(commands: str, *, flags: int = 0) -> tuple[str, str]:
    """Return the output and the error."""
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        raise HostLacks(
            "The library libnftables.so.1 is not installed on this machine.",
            hint="Install nftables, or run `make up`.",
        ) from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    with _turn:
        context = ctypes.c_void_p(library.nft_ctx_new(ctypes.c_uint32(0)))
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            library.nft_ctx_output_set_flags(context, ctypes.c_uint(flags))
            failed = library.nft_run_cmd_from_buffer(context, commands.encode())
            complaint: bytes = library.nft_ctx_get_error_buffer(context) or b""
            output: bytes = library.nft_ctx_get_output_buffer(context) or b""
            return output.decode(), (
                (complaint.decode(errors="replace").strip() or "no reason given") if failed else ""
            )
        finally:
            library.nft_ctx_free(context)
