"""Tests of the host's packages: an installed program meets the need, no matter how it was
installed.
"""

from runtime.packages import PLATFORM, TESTS, Need, command_line, missing


def test_any_installed_program_or_file_meets_a_need(tmp_path):
    (tmp_path / "lib.so.2").touch()
    file = Need(
        found=(f"{tmp_path}/nothing", f"{tmp_path}/lib.so*"),
        purpose="a library",
        debian="lib2",
        fedora="lib",
    )
    program = Need(found=("sh",), purpose="a shell", debian="dash", fedora="bash")
    absent = Need(
        found=("no-such-program-anywhere",), purpose="a test", debian="nothing", fedora="none"
    )
    assert missing([file, program, absent]) == [absent]


def test_the_install_command_can_be_typed():
    needs = [
        Need(found=("x",), purpose="x", debian="zlib1g", fedora="zlib"),
        Need(found=("y",), purpose="y", debian="acl", fedora="acl"),
    ]
    assert command_line(needs, tool="apt-get") == "apt-get install acl zlib1g"
    assert command_line(needs, tool="dnf") == "dnf install acl zlib"


def test_every_need_says_its_purpose():
    assert all(
        need.purpose and need.found and need.debian and need.fedora for need in (*PLATFORM, *TESTS)
    )
